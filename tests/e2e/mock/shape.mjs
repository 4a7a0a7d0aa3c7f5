// A small language for the shape of a request. A shape is a function (value, path, faults) that appends what is wrong.
//
// Strict by default: an object refuses the fields that it does not name.
// A fault is { path, kind, want, got }, kind one of `type`, `missing`, `unknown`, `value`; each wire words it its own way.

const typeOf = value => (value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value);
const at = (path, field) => (typeof field === 'number' ? `${path}[${field}]` : path ? `${path}.${field}` : field);

const fault = (faults, path, kind, want, got) => faults.push({ path, kind, want, got });

/** Anything at all. */
export const any = () => {};

/** A string, by length and pattern. */
export const string = ({ min = 0, max = Infinity, pattern } = {}) => (value, path, faults) => {
  if (typeof value !== 'string') return fault(faults, path, 'type', 'a string', typeOf(value));
  if (value.length < min) return fault(faults, path, 'value', `at least ${min} characters`, `${value.length}`);
  if (value.length > max) return fault(faults, path, 'value', `at most ${max} characters`, `${value.length}`);
  if (pattern && !pattern.test(value)) return fault(faults, path, 'value', `a string that matches ${pattern.source}`, value);
};

/** A number, or an integer, within bounds. */
export const number = ({ min = -Infinity, max = Infinity, integer = false } = {}) => (value, path, faults) => {
  if (typeof value !== 'number') return fault(faults, path, 'type', integer ? 'an integer' : 'a number', typeOf(value));
  if (integer && !Number.isInteger(value)) return fault(faults, path, 'type', 'an integer', 'a decimal');
  if (value < min) return fault(faults, path, 'value', `>= ${min}`, `${value}`);
  if (value > max) return fault(faults, path, 'value', `<= ${max}`, `${value}`);
};
export const integer = (bounds = {}) => number({ ...bounds, integer: true });

export const boolean = (value, path, faults) => {
  if (typeof value !== 'boolean') fault(faults, path, 'type', 'a boolean', typeOf(value));
};

/** One of some strings. */
export const choice = (...allowed) => (value, path, faults) => {
  if (typeof value !== 'string') return fault(faults, path, 'type', 'a string', typeOf(value));
  if (!allowed.includes(value)) fault(faults, path, 'value', allowed.join(', '), value);
};

export const nullable = shape => (value, path, faults) => {
  if (value !== null) shape(value, path, faults);
};

export const array = (shape, { min = 0, max = Infinity } = {}) => (value, path, faults) => {
  if (!Array.isArray(value)) return fault(faults, path, 'type', 'an array', typeOf(value));
  if (value.length < min) return fault(faults, path, 'value', `an array with at least ${min} items`, `${value.length}`);
  if (value.length > max) return fault(faults, path, 'value', `an array with at most ${max} items`, `${value.length}`);
  value.forEach((item, index) => shape(item, at(path, index), faults));
};

/** An object with any fields, all of one shape. */
export const map = (shape, { max = Infinity } = {}) => (value, path, faults) => {
  if (typeOf(value) !== 'object') return fault(faults, path, 'type', 'an object', typeOf(value));
  if (Object.keys(value).length > max) return fault(faults, path, 'value', `at most ${max} entries`, `${Object.keys(value).length}`);
  for (const [field, item] of Object.entries(value)) shape(item, at(path, field), faults);
};

/** An object with these fields and no others; a field whose name ends with `!` must be there. */
export const object = fields => {
  const shapes = new Map(Object.entries(fields).map(([name, shape]) => [name.replace(/!$/, ''), shape]));
  const required = Object.keys(fields).filter(name => name.endsWith('!')).map(name => name.slice(0, -1));
  return (value, path, faults) => {
    if (typeOf(value) !== 'object') return fault(faults, path, 'type', 'an object', typeOf(value));
    for (const name of required) if (value[name] === undefined) fault(faults, at(path, name), 'missing', name);
    for (const [name, item] of Object.entries(value)) {
      const shape = shapes.get(name);
      if (shape) shape(item, at(path, name), faults);
      else fault(faults, at(path, name), 'unknown', [...shapes.keys()].join(', '), name);
    }
  };
};

/** A string, or else another shape. */
export const stringOr = shape => (value, path, faults) => {
  if (typeof value !== 'string') shape(value, path, faults);
};

/** The shape that a field's value picks. */
export const tagged = (field, shapes) => (value, path, faults) => {
  if (typeOf(value) !== 'object') return fault(faults, path, 'type', 'an object', typeOf(value));
  if (value[field] === undefined) return fault(faults, at(path, field), 'missing', field);
  const shape = Object.hasOwn(shapes, value[field]) ? shapes[value[field]] : undefined;
  if (!shape) return fault(faults, at(path, field), 'value', Object.keys(shapes).join(', '), String(value[field]));
  shape(value, path, faults);
};

/** What is wrong with a value, most telling first: unknown and missing fields before values. */
export function check(shape, value) {
  const faults = [];
  shape(value, '', faults);
  return faults;
}
