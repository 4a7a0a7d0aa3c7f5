// A second opinion: the providers' published request formats, where they are at hand.
//
// Looks in SLUICE_SPECS, or in `../shared/specs` beside the project. Where the folder is absent the mocks' own rules stand alone, and say so.

import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import Ajv2020 from 'ajv/dist/2020.js';

const PROJECT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');

/** The folder with the formats, or `null`. */
export function specsFolder() {
  const folders = process.env.SLUICE_SPECS ? [process.env.SLUICE_SPECS] : [path.resolve(PROJECT, '../shared/specs'), path.resolve(PROJECT, '../../shared/specs')];
  return folders.find(folder => fs.existsSync(path.join(folder, 'openai.openapi.json'))) ?? null;
}

const read = name => JSON.parse(fs.readFileSync(path.join(specsFolder(), name), 'utf8'));
const ajv = () => new Ajv2020({ strict: false, allErrors: false, validateFormats: false, logger: false });
const once = make => {
  let made;
  return () => (made ??= make());
};

/** `nullable` beside a `$ref` or an `enum` says what JSON Schema has no word for. */
function withNullable(node) {
  if (Array.isArray(node)) return node.map(withNullable);
  if (node === null || typeof node !== 'object') return node;
  const { nullable, ...rest } = Object.fromEntries(Object.entries(node).map(([name, inner]) => [name, withNullable(inner)]));
  return nullable === true ? { anyOf: [rest, { type: 'null' }] } : rest;
}

const openApi = once(() => {
  const validator = ajv();
  validator.addSchema({ $id: 'openai', components: withNullable({ schemas: read('openai.openapi.json').components.schemas }) });
  return validator;
});

const report = validate => value => {
  if (validate(value)) return null;
  const [first] = validate.errors.slice(-1);
  return `${first.instancePath || '(body)'} ${first.message}${first.params?.unevaluatedProperty ? ` (${first.params.unevaluatedProperty})` : ''}`;
};

const compiled = new Map();
const cached = (name, make) => {
  if (!compiled.has(name)) compiled.set(name, make());
  return compiled.get(name);
};

/** A check of a value against one of OpenAI's published schemas; answers `null` or what is wrong. */
export const openaiSchema = (name, closed = false) => cached(`openai ${name} ${closed}`, () => report(openApi().compile({
  $ref: `openai#/components/schemas/${name}`, ...(closed ? { unevaluatedProperties: false } : {}),
})));

/** Objects whose fields are listed take no others. */
function closedObjects(node) {
  if (Array.isArray(node)) return node.map(closedObjects);
  if (node === null || typeof node !== 'object') return node;
  const inner = Object.fromEntries(Object.entries(node).map(([name, value]) => [name, closedObjects(value)]));
  return inner.type === 'object' && inner.properties && inner.additionalProperties === undefined ? { ...inner, additionalProperties: false } : inner;
}

const anthropicSchema = name => cached(`anthropic ${name}`, () => {
  const { $ref, $defs } = closedObjects(read('anthropic.request.json')[name]);
  const root = $ref.split('/').at(-1);
  // `stream` is said by the method there, not by the type.
  $defs[root] = { ...$defs[root], properties: { ...$defs[root].properties, stream: { type: 'boolean' } } };
  return report(ajv().compile({ $ref, $defs }));
});

const PROTO = 'google.ai.generativelanguage.v1beta.';
const proto = once(() => read('gemini.proto.json'));
/** Protocol buffer field types, as JSON writes them. */
const SCALARS = { 1: ['number', 'string'], 2: ['number', 'string'], 3: ['number', 'string'], 5: ['number', 'string'], 8: ['boolean'], 9: ['string'], 12: ['string'] };

function protoField(field, value, at) {
  if (field.map) return Object.entries(value).map(([name, inner]) => protoMessage(field.msg, inner, `${at}.${name}`)).find(Boolean) ?? null;
  if (field.msg) return protoMessage(field.msg, value, at);
  if (field.enum) {
    const names = proto().enums[field.enum];
    return names === undefined || names.includes(String(value).toUpperCase()) ? null : `${at}: ${value} is not one of ${names.join(', ')}`;
  }
  return (SCALARS[field.t] ?? [typeof value]).includes(typeof value) ? null : `${at}: ${typeof value} where ${SCALARS[field.t]} is wanted`;
}

function protoMessage(name, value, at = '') {
  const fields = proto().messages[name];
  if (fields === undefined || value === null || /protobuf\.(Struct|Value)$/.test(name)) return null;
  if (typeof value !== 'object' || Array.isArray(value)) return `${at || '(body)'}: an object is wanted`;
  for (const [key, inner] of Object.entries(value)) {
    const field = fields[key] ?? Object.values(fields).find(one => one.snake === key);
    if (!field) return `${at}.${key}: ${name.replace(PROTO, '')} has no such field`;
    if (field.rep && !field.map && !Array.isArray(inner)) return `${at}.${key}: a list is wanted`;
    const problem = (field.rep && !field.map ? inner : [inner]).map((one, index) => protoField(field, one, `${at}.${key}${field.rep ? `[${index}]` : ''}`)).find(Boolean);
    if (problem) return problem;
  }
  return null;
}

const mistralSchema = name => cached(`mistral ${name}`, () => {
  const { $ref, $defs } = read('mistral.request.json')[name];
  return report(ajv().compile({ $ref, $defs }));
});

const boto = once(() => read('bedrock-runtime.service-2.json').shapes);

/** What Amazon's service model finds wrong with a value of one of its shapes, or `null`. */
function botoProblem(name, value, at = '') {
  const shape = boto()[name];
  if (shape.document) return null;
  const wrong = want => `${at || '(body)'}: ${want} is wanted`;
  if (shape.type === 'structure') {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return wrong('a structure');
    const given = Object.keys(value);
    const stray = given.find(member => !Object.hasOwn(shape.members, member) || shape.members[member].location !== undefined);
    if (stray !== undefined) return `${at}.${stray}: ${name} has no such member`;
    const missing = (shape.required ?? []).find(member => shape.members[member].location === undefined && !given.includes(member));
    if (missing !== undefined) return `${at}.${missing}: is required`;
    if (shape.union && given.length !== 1) return wrong(`exactly one member of ${name}`);
    return given.map(member => botoProblem(shape.members[member].shape, value[member], `${at}.${member}`)).find(Boolean) ?? null;
  }
  if (shape.type === 'list') {
    if (!Array.isArray(value) || value.length < (shape.min ?? 0) || value.length > (shape.max ?? Infinity)) return wrong(`a list of ${shape.min ?? 0} to ${shape.max ?? 'any'} items`);
    return value.map((item, index) => botoProblem(shape.member.shape, item, `${at}[${index}]`)).find(Boolean) ?? null;
  }
  if (shape.type === 'map') return Object.entries(value).map(([key, item]) => botoProblem(shape.value.shape, item, `${at}.${key}`)).find(Boolean) ?? null;
  if (shape.type === 'boolean') return typeof value === 'boolean' ? null : wrong('a boolean');
  if (['integer', 'long', 'float', 'double'].includes(shape.type)) {
    if (typeof value !== 'number' || (['integer', 'long'].includes(shape.type) && !Number.isInteger(value))) return wrong(`a number (${shape.type})`);
    return value < (shape.min ?? -Infinity) || value > (shape.max ?? Infinity) ? wrong(`a number from ${shape.min} to ${shape.max}`) : null;
  }
  if (typeof value !== 'string') return wrong('a string');
  if (shape.enum && !shape.enum.includes(value)) return wrong(`one of ${shape.enum.join(', ')}`);
  if (value.length < (shape.min ?? 0) || (shape.type === 'string' && value.length > (shape.max ?? Infinity))) return wrong(`${shape.min ?? 0} to ${shape.max ?? 'any'} characters`);
  return shape.pattern && !new RegExp(`^(?:${shape.pattern})$`, 'u').test(value) ? wrong(`a string like ${shape.pattern}`) : null;
}

const discovery = once(() => read('aiplatform.v1.json').schemas);
const DISCOVERY = { string: ['string'], integer: ['number', 'string'], number: ['number', 'string'], boolean: ['boolean'], any: ['string', 'number', 'boolean', 'object'] };

/** What Google's discovery document finds wrong with a value, or `null`. */
function discoveryProblem(node, value, at = '') {
  if (node.$ref) return discoveryProblem(discovery()[node.$ref], value, at);
  if (value === null) return null;
  if (node.type === 'array') return Array.isArray(value) ? value.map((item, index) => discoveryProblem(node.items, item, `${at}[${index}]`)).find(Boolean) ?? null : `${at}: a list is wanted`;
  if (node.type !== 'object') return (DISCOVERY[node.type] ?? [typeof value]).includes(typeof value) ? (node.enum && typeof value === 'string' && !node.enum.includes(value.toUpperCase()) ? `${at}: ${value} is not one of ${node.enum.join(', ')}` : null) : `${at}: ${node.type} is wanted`;
  if (typeof value !== 'object' || Array.isArray(value)) return `${at || '(body)'}: an object is wanted`;
  if (!node.properties) return null;
  for (const [name, inner] of Object.entries(value)) {
    const field = node.properties[name] ?? node.properties[name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase())];
    if (!field) return `${at}.${name}: ${node.id ?? 'this'} has no such field`;
    const problem = discoveryProblem(field, inner, `${at}.${name}`);
    if (problem) return problem;
  }
  return null;
}

const CHECKS = {
  openai: (name, body) => openaiSchema(name, true)(body),
  anthropic: (name, body) => anthropicSchema(name)(body),
  gemini: (name, body) => protoMessage(PROTO + name, body),
  mistral: (name, body) => mistralSchema(name)(body),
  bedrock: (name, body) => botoProblem(name, body),
  vertex: (name, body) => discoveryProblem(discovery()[`GoogleCloudAiplatformV1${name}`], body),
};

/** What a published format finds wrong with a request body, or `null`. */
export const specProblem = (spec, schema, body) => (specsFolder() === null || schema === undefined ? null : CHECKS[spec](schema, body));
