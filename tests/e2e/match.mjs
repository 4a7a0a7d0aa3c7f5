// Compares an answer with what a scenario expects. Expectations are JSON; what they do not name is not compared.
//
//   {…}                    every named field matches; others may be there
//   […]                    as many items, each matching; `["$contains", a, b]`: some item matches a, and some b
//   "/pattern/flags"       text (or a number's text) that matches the regular expression
//   "$any" "$absent" "$string" "$number" "$integer" "$array" "$object"
//   {"$gt" "$gte" "$lt" "$lte": n}   {"$in": […]}   {"$not": m}   {"$length": n}   {"$json": m}: text that is JSON which matches m
//   anything else          exactly that

const TYPES = {
  $any: value => value !== undefined,
  $absent: value => value === undefined,
  $string: value => typeof value === 'string',
  $number: value => typeof value === 'number',
  $integer: value => Number.isInteger(value),
  $array: value => Array.isArray(value),
  $object: value => typeof value === 'object' && value !== null && !Array.isArray(value),
};

const OPERATORS = {
  $gt: (bound, value) => value > bound,
  $gte: (bound, value) => value >= bound,
  $lt: (bound, value) => value < bound,
  $lte: (bound, value) => value <= bound,
  $in: (values, value) => values.includes(value),
  $not: (matcher, value) => mismatches(matcher, value).length > 0,
  $length: (matcher, value) => mismatches(matcher, value?.length).length === 0,
};

const show = value => {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
};

/** What differs, each as one line; empty when the value matches. */
export function mismatches(expected, value, path = '$') {
  const no = () => [`${path}: expected ${show(expected)}, got ${show(value)}`];
  if (typeof expected === 'string') {
    if (Object.hasOwn(TYPES, expected)) return TYPES[expected](value) ? [] : no();
    const pattern = /^\/(.*)\/([a-z]*)$/s.exec(expected);
    if (pattern) return ['string', 'number'].includes(typeof value) && new RegExp(pattern[1], pattern[2]).test(String(value)) ? [] : no();
    return expected === value ? [] : no();
  }
  if (Array.isArray(expected)) return listMismatches(expected, value, path, no);
  if (expected === null || typeof expected !== 'object') return Object.is(expected, value) ? [] : no();
  const operators = Object.keys(expected).filter(name => name.startsWith('$'));
  if (operators.length > 0) return operators.flatMap(name => operatorMismatches(name, expected[name], value, path, no));
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return no();
  return Object.entries(expected).flatMap(([name, inner]) => mismatches(inner, value[name], `${path}.${name}`));
}

function listMismatches(expected, value, path, no) {
  if (!Array.isArray(value)) return no();
  if (expected[0] === '$contains') {
    return expected.slice(1).filter(inner => !value.some(item => mismatches(inner, item).length === 0)).map(inner => `${path}: no item matches ${show(inner)} in ${show(value)}`);
  }
  if (value.length !== expected.length) return [`${path}: expected ${expected.length} items, got ${value.length}: ${show(value)}`];
  return expected.flatMap((inner, index) => mismatches(inner, value[index], `${path}[${index}]`));
}

function operatorMismatches(name, argument, value, path, no) {
  if (name === '$json') {
    try {
      return mismatches(argument, JSON.parse(value), `${path}(json)`);
    } catch {
      return [`${path}: expected JSON, got ${show(value)}`];
    }
  }
  if (!Object.hasOwn(OPERATORS, name)) return [`${path}: there is no matcher ${name}`];
  return OPERATORS[name](argument, value) ? [] : no();
}
