// What the tests stand on: a Terraform or OpenTofu, and providers to show it.
//
// The providers are stand-ins: one Go program that serves a schema (see standin/). Where each schema is from, and so
// what a passing test means, is returned and printed.
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { schemaOf, typescript } from "./generated.mjs";

export const ROOT = resolve(import.meta.dirname, "../..");
export const MODULES = join(ROOT, "terraform");
/** Everything that is built or downloaded; kept between runs. */
export const CACHE = join(process.env.CARGO_TARGET_DIR ?? join(ROOT, "target"), "terraform");
export const SPECS = resolve(ROOT, process.env.SLUICE_SPECS ?? "../shared/specs");

/** The packages from whose generated types a schema is read where no printed one is at hand. */
const PACKAGES = {
  cloudflare: { npm: "@cdktf/provider-cloudflare", version: "13.9.1" },
  aws: { npm: "@cdktf/provider-aws", version: "21.22.1" },
};
const PROVIDERS = {
  cloudflare: { address: "registry.terraform.io/cloudflare/cloudflare", version: "5.24.0" },
  aws: { address: "registry.terraform.io/hashicorp/aws", version: "6.25.0" },
};
const PRINTED = { cloudflare: "cloudflare-provider-5.24.0.schema.json" };

/** Why something cannot be done here; the tests that need it are left out, and say so. */
export class Missing extends Error {}

/** The name and version of the first of these programs that runs. */
export function terraform() {
  for (const name of [process.env.SLUICE_TERRAFORM, "terraform", "tofu"]) {
    if (name === undefined) continue;
    const found = spawnSync(name, ["version"], { encoding: "utf8", env: quiet() });
    if (found.status === 0) return { program: name, version: found.stdout.split("\n")[0] };
  }
  throw new Missing("neither terraform nor tofu is on the PATH");
}

/** The environment without anybody's settings, credentials or telemetry. */
export function quiet(more = {}) {
  const kept = Object.entries(process.env).filter(([name]) => !/^(TF_|CLOUDFLARE_|AWS_)/.test(name));
  return { ...Object.fromEntries(kept), CHECKPOINT_DISABLE: "1", TF_IN_AUTOMATION: "1", ...more };
}

/** The types of resources and data sources that the modules use: `aws_kms_key`, `data.aws_partition`. */
export function usedTypes() {
  const files = readdirSync(MODULES, { recursive: true }).filter((name) => name.endsWith(".tf"));
  const text = files.map((name) => readFileSync(join(MODULES, name), "utf8")).join("\n");
  const found = [...text.matchAll(/^(resource|data) "(\w+)"/gm)];
  return [...new Set(found.map(([, kind, type]) => (kind === "data" ? `data.${type}` : type)))].sort();
}

/** The environment in which Terraform finds providers, and where their schemas are from. */
export function providers(program) {
  if (readPrinted("cloudflare") !== undefined) return mirror();
  // Without the schema as printed: the providers themselves, where they can be had.
  const folder = join(CACHE, "probe");
  mkdirSync(folder, { recursive: true });
  cpSync(join(MODULES, "versions.tf"), join(folder, "versions.tf"));
  const cache = join(CACHE, "plugins");
  mkdirSync(cache, { recursive: true });
  const env = { TF_PLUGIN_CACHE_DIR: cache };
  const found = spawnSync(program, ["init", "-backend=false", "-input=false"], { cwd: folder, env: quiet(env) });
  if (found.status === 0) return { env, sources: ["the registry's own providers"] };
  throw new Missing(`no providers: ${SPECS} has no schema, and the registry cannot be reached`);
}

/** Makes a mirror of stand-in providers. */
function mirror() {
  const standIn = buildStandIn();
  const sources = [];
  for (const [name, { address, version }] of Object.entries(PROVIDERS)) {
    const types = usedTypes().filter((type) => type.replace("data.", "").startsWith(`${name}_`));
    const { schema, from } = schemaFor(name, address, types);
    sources.push(...from);
    // Terraform and OpenTofu look under their own registries' names.
    for (const registry of ["registry.terraform.io", "registry.opentofu.org"]) {
      const package_ = address.replace(/^[^/]+/, registry);
      const folder = join(CACHE, "mirror", package_, version, `${goos("GOOS")}_${goos("GOARCH")}`);
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, "schema.json"), JSON.stringify(schema));
      cpSync(standIn, join(folder, `terraform-provider-${name}_v${version}`));
    }
  }
  const settings = join(CACHE, "terraform.rc");
  const mirror = join(CACHE, "mirror");
  writeFileSync(
    settings,
    `provider_installation {\n  filesystem_mirror {\n    path = ${JSON.stringify(mirror)}\n  }\n}\ndisable_checkpoint = true\n`,
  );
  return { env: { TF_CLI_CONFIG_FILE: settings }, sources };
}

/** What is wrong with the files' syntax; undefined where that cannot be told either. */
export function parses() {
  const folder = join(import.meta.dirname, "standin");
  const files = readdirSync(MODULES, { recursive: true }).filter((name) => /\.(tf|hcl)$/.test(name));
  const words = ["run", "./syntax", ...files.map((name) => join(MODULES, name))];
  const done = spawnSync("go", words, { cwd: folder, encoding: "utf8" });
  if (done.error) return undefined;
  return done.status === 0 ? [] : done.stderr.trim().split("\n");
}

let goEnvironment;
function goos(name) {
  goEnvironment ??= JSON.parse(execFileSync("go", ["env", "-json", "GOOS", "GOARCH"], { encoding: "utf8" }));
  return goEnvironment[name];
}

/** The stand-in's program, built once for each of its sources. */
function buildStandIn() {
  const source = join(import.meta.dirname, "standin");
  const hash = createHash("sha256");
  const files = readdirSync(source).filter((name) => /\.(go|mod|sum)$/.test(name));
  for (const name of files.sort()) hash.update(readFileSync(join(source, name)));
  const program = join(CACHE, `standin-${hash.digest("hex").slice(0, 16)}`);
  if (existsSync(program)) return program;
  if (spawnSync("go", ["version"]).status !== 0) throw new Missing("no go on the PATH to build the stand-in provider");
  mkdirSync(CACHE, { recursive: true });
  console.log("building the stand-in provider (once; about a minute)");
  const built = spawnSync("go", ["build", "-trimpath", "-o", program, "."], { cwd: source, stdio: "inherit" });
  if (built.status !== 0) throw new Missing("the stand-in provider could not be built: are its modules reachable?");
  return program;
}

/** One provider's schema for these types: as printed where that is at hand, as generated otherwise. */
function schemaFor(name, address, types) {
  const printed = readPrinted(name, address);
  const resource_schemas = {};
  const data_source_schemas = {};
  const generated = [];
  let version;
  for (const type of types) {
    const plain = type.replace("data.", "");
    const target = type === plain ? resource_schemas : data_source_schemas;
    target[plain] = printed?.resource_schemas[plain];
    if (target[plain] !== undefined && type === plain) continue;
    const read = generatedSchema(name, type);
    target[plain] = read.schema;
    version = read.version;
    generated.push(type);
  }
  const provider = printed?.provider ?? generatedSchema(name, `${name}_provider`).schema;
  const from = [];
  const real = types.filter((type) => !generated.includes(type));
  if (real.length > 0) from.push(`${address} ${PROVIDERS[name].version}, its own printed schema: ${real.join(", ")}`);
  if (generated.length > 0) {
    const { npm, version: release } = PACKAGES[name];
    from.push(`${address} ${version}, read from the types of ${npm} ${release}: ${generated.join(", ")}`);
  }
  return { schema: { format_version: "1.0", provider_schemas: { [address]: { provider, resource_schemas, data_source_schemas } } }, from };
}

export function readPrinted(name, address = PROVIDERS[name].address) {
  if (PRINTED[name] === undefined) return undefined;
  const path = join(SPECS, PRINTED[name]);
  return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")).provider_schemas[address] : undefined;
}

/** A schema out of the generated package, which is downloaded once. */
export function generatedSchema(name, type) {
  const { npm, version } = PACKAGES[name];
  const folder = join(CACHE, "generated", `${name}-${version}`);
  const archive = join(folder, "package.tgz");
  if (!existsSync(archive)) {
    mkdirSync(folder, { recursive: true });
    const packed = spawnSync("npm", ["pack", "--silent", "--pack-destination", folder, `${npm}@${version}`], { encoding: "utf8" });
    if (packed.status !== 0) throw new Missing(`${npm} ${version} could not be downloaded`);
    cpSync(join(folder, packed.stdout.trim().split("\n").at(-1)), archive);
  }
  const prefix = type.startsWith("data.") ? `data-${name}-` : "";
  const entry = `package/lib/${prefix}${type.replace("data.", "").slice(name.length + 1).replaceAll("_", "-")}/index.js`;
  const unpacked = join(folder, entry);
  if (!existsSync(unpacked)) {
    const taken = spawnSync("tar", ["xzf", archive, "-C", folder, entry]);
    if (taken.status !== 0) {
      rmSync(unpacked, { force: true });
      throw new Missing(`${npm} ${version} does not know ${type}`);
    }
  }
  return schemaOf(typescript(readFileSync(unpacked, "utf8")));
}
