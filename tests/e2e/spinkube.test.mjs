// The manifest for Kubernetes: against SpinKube's own schema, as far as that can be had, and against the application that it runs.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';

import Ajv from 'ajv';
import { parse as parseToml } from 'smol-toml';
import { parse, parseAllDocuments } from 'yaml';

const PROJECT = fileURLToPath(new URL('../../', import.meta.url));
const OPERATOR = 'github.com/spinkube/spin-operator@v0.4.0';
const read = name => fs.readFileSync(path.join(PROJECT, name), 'utf8');

const objects = parseAllDocuments(read('deploy/spinkube/sluice.yaml')).map(document => document.toJS());
const app = objects.find(({ kind }) => kind === 'SpinApp');
const application = parseToml(read('spin.toml'));

/** The definition of SpinApp, from the module that holds it; Go fetches and checks it. */
function definition() {
  const { status, stdout } = spawnSync('go', ['mod', 'download', '-json', OPERATOR], { encoding: 'utf8', cwd: path.parse(PROJECT).root, env: { ...process.env, GOFLAGS: '-mod=mod' } });
  if (status !== 0) return undefined;
  return parse(fs.readFileSync(path.join(JSON.parse(stdout).Dir, 'config/crd/bases/core.spinkube.dev_spinapps.yaml'), 'utf8'));
}

/** The schema with nothing allowed that it does not name: Kubernetes drops such fields without a word. */
function strict(schema) {
  if (Array.isArray(schema)) return schema.map(strict);
  if (schema === null || typeof schema !== 'object') return schema;
  const { 'x-kubernetes-int-or-string': isEither, ...rest } = schema;
  const known = Object.fromEntries(Object.entries(rest).filter(([name]) => !name.startsWith('x-kubernetes-')).map(([name, one]) => [name, strict(one)]));
  if (isEither) return { ...known, type: ['integer', 'string'] };
  return known.type === 'object' && known.properties && typeof known.properties === 'object' ? { additionalProperties: false, ...known } : known;
}

test('the application is one that SpinKube takes', t => {
  const found = definition();
  if (!found) return t.skip(`${OPERATOR} cannot be fetched`);
  const [kind, version] = [found.spec.names.kind, found.spec.versions.find(one => `${found.spec.group}/${one.name}` === app.apiVersion)];
  assert.equal(kind, app.kind);
  const schema = strict(version.schema.openAPIV3Schema.properties.spec);
  const validate = new Ajv({ strict: false, validateFormats: false, allErrors: true }).compile(schema);
  assert.ok(validate(app.spec), JSON.stringify(validate.errors, null, 2));
  assert.ok(!validate({ ...app.spec, replica: 2 }), 'a field that does not exist is found');
  return undefined;
});

test('the application is given every variable that it must have, and none that it does not know', () => {
  const given = app.spec.variables.map(({ name }) => name);
  const declared = Object.entries(application.variables);
  assert.deepEqual(given.filter(name => !declared.some(([known]) => known === name)), []);
  assert.deepEqual(declared.filter(([name, one]) => one.required && !given.includes(name)), []);
});

test('what is secret comes from a secret; only an address without a password stands in the open', () => {
  const open = app.spec.variables.filter(({ name, value }) => value !== undefined && application.variables[name].secret);
  assert.deepEqual(open.map(({ name }) => name), ['sluice_store']);
  assert.equal(new URL(open[0].value).password, '');
});

test('objects refer to objects that are there', () => {
  const store = new URL(app.spec.variables.find(({ name }) => name === 'sluice_store').value);
  const service = objects.find(one => one.kind === 'Service' && one.metadata.name === store.hostname.split('.')[0]);
  const set = objects.find(one => one.kind === 'StatefulSet' && one.spec.serviceName === service.metadata.name);
  assert.deepEqual(set.spec.template.metadata.labels, service.spec.selector);
  const [container] = set.spec.template.spec.containers;
  assert.deepEqual(container.ports.map(({ containerPort }) => containerPort), [Number(store.port)]);
  const job = objects.find(({ kind }) => kind === 'CronJob');
  const [upkeep] = job.spec.jobTemplate.spec.template.spec.containers;
  assert.match(upkeep.args[0], new RegExp(`http://${app.metadata.name}/upkeep$`));
});
