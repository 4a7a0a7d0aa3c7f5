// Reads a resource's Terraform schema out of the types that were generated from it.
//
// The packages @cdktf/provider-* are generated from `terraform providers schema -json`.
// Their TypeScript stands in the source maps, and says of each attribute its name, its type, whether it is required,
// optional or computed, and of each block how it nests. It does not say which values are sensitive or deprecated, nor
// which are write-only: those are told by their names, which the provider ends in _wo.
import { Buffer } from "node:buffer";

const PRIMITIVES = { string: "string", number: "number", boolean: "bool" };

/** The TypeScript that a generated module was compiled from. */
export function typescript(javascript) {
  const map = javascript.match(/sourceMappingURL=data:application\/json;base64,(\S+)/);
  if (map === null) throw new Error("no source map");
  return JSON.parse(Buffer.from(map[1], "base64").toString()).sourcesContent[0];
}

/** The schema of the one resource or data source of a generated module: its type's name, and its block. */
export function schemaOf(source) {
  const type = source.match(/tfResourceType = "(\w+)"/)?.[1];
  const main = source.match(/export class (\w+) extends cdktf\.Terraform(?:Resource|DataSource|Provider) /)?.[1];
  if (type === undefined || main === undefined) throw new Error("no resource");
  const version = source.match(/providerVersion: '([\d.]+)'/)?.[1];
  const hints = hclHints(source, /synthesizeHclAttributes\(\)[^{]*\{/);
  if (source.includes(`export class ${main} extends cdktf.TerraformProvider `)) return providerOf(hints);
  return { type, version, schema: { version: 0, block: block(source, main, hints) } };
}

/** A provider's own settings, without its blocks: their classes are not written out. */
function providerOf(hints) {
  const simple = Object.entries(hints).filter(([, hint]) => hint.type === "simple");
  const attributes = simple.map(([name, hint]) => [name, { type: primitive(name, "", hint), optional: true }]);
  return { schema: { version: 0, block: { attributes: Object.fromEntries(attributes) } } };
}

/** How each configurable field is written: `{name: {isBlock, type, storage}}`. */
function hclHints(source, start) {
  const found = start.exec(source);
  if (found === null) return {};
  const text = source.slice(found.index, source.indexOf("// remove undefined attributes", found.index));
  const field = /(\w+): \{\s+value: [^\n]+\n\s+isBlock: (\w+),\s+type: "(\w+)",\s+storageClassType: "(\w+)",/g;
  return Object.fromEntries(
    [...text.matchAll(field)].map(([, name, isBlock, type, storage]) => [
      name,
      { isBlock: isBlock === "true", type, storage },
    ]),
  );
}

function block(source, className, hints) {
  const start = source.indexOf(`export class ${className} `);
  const end = source.indexOf("\nexport ", start + 1);
  const body = source.slice(start, end < 0 ? undefined : end);
  const attributes = {};
  const blocks = {};
  const field = /\/\/ (\w+) - computed: (\w+), optional: (\w+), required: (\w+)\n([\s\S]*?)(?=\n {2}\/\/ \w+ - computed|$)/g;
  for (const [, name, computed, optional, required, code] of body.matchAll(field)) {
    const flags = { computed: computed === "true", optional: optional === "true", required: required === "true" };
    const nested = code.match(/= new (\w+?)(OutputReference|List|Map)\(this, "\w+"(?:, (\w+))?\)/);
    if (nested === null || nested[1] === "cdktf.String") {
      const write_only = name.endsWith("_wo");
      attributes[name] = { type: primitive(name, code, hints[name]), ...flags, write_only };
      continue;
    }
    const [, struct, kind, isSet] = nested;
    const inner = block(source, struct + "OutputReference", hclHints(source, hclFunction(struct)));
    const isMany = kind === "List";
    const nesting = isMany ? (isSet === "true" ? "set" : "list") : (hints[name]?.type ?? "single");
    const mode = nesting === "struct" ? "single" : nesting;
    if (source.includes(`* ${name} block\n`)) {
      const bounds = mode === "single" ? {} : { min_items: flags.required ? 1 : 0, max_items: isMany ? 0 : 1 };
      blocks[name] = { nesting_mode: mode, block: inner, ...bounds };
    } else {
      attributes[name] = { nested_type: { attributes: inner.attributes, nesting_mode: mode }, ...flags };
    }
  }
  return { attributes, block_types: blocks };
}

function hclFunction(struct) {
  const name = struct[0].toLowerCase() + struct.slice(1);
  return new RegExp(`function ${name}ToHclTerraform\\(`);
}

function primitive(name, code, hint) {
  if (hint === undefined) return computedType(name, code);
  const { type, storage } = hint;
  if (type === "simple") return PRIMITIVES[storage] ?? unknown(name, storage);
  // The generator has no word for a dynamic type, and writes a map of anything.
  if (storage === "anyMap") return "dynamic";
  const element = storage.match(/^(string|number|boolean)(?:List|Map)$/)?.[1];
  return [type, PRIMITIVES[element] ?? unknown(name, storage)];
}

function computedType(name, code) {
  const getter = code.match(/this\.get(\w+?)Attribute\(/)?.[1] ?? code.match(/new cdktf\.(\w+)\(this/)?.[1];
  const isSet = code.includes("Fn.tolist(");
  const types = {
    String: "string",
    Number: "number",
    Boolean: "bool",
    List: [isSet ? "set" : "list", "string"],
    NumberList: [isSet ? "set" : "list", "number"],
    StringMap: ["map", "string"],
    BooleanMap: ["map", "bool"],
    AnyMap: "dynamic",
  };
  return types[getter] ?? unknown(name, getter);
}

function unknown(name, what) {
  throw new Error(`${name}: a type that this reader does not know: ${what}`);
}
