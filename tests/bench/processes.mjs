// Starts and ends the processes of a run: the mock, the stores, and workerd in its two roles.
import { spawn } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = fileURLToPath(new URL("../../", import.meta.url));
/** How long a process may take to say that it is there. */
const START_MS_MAX = 20_000;

/** The ids of all that was started and not stopped, but for the keepers, which end with what they keep. */
const running = new Set();

/** Ends all of it at once; for every way out. */
export function stopAll() {
  for (const pid of running) {
    try {
      process.kill(pid, "SIGKILL");
    } catch (error) {
      // It has ended by itself.
      if (error.code !== "ESRCH") throw error;
    }
  }
  running.clear();
}

/** Starts one of the programs of this folder; it ends with this process, whichever way that ends. */
function startNode(name, ...rest) {
  const child = spawn(process.execPath, [path.join(here, name), ...rest], {
    // Its input is a pipe that ends when this process does.
    stdio: ["pipe", "pipe", "inherit", "pipe"],
  });
  child.stdin.on("error", () => {});
  const stop = () =>
    new Promise((resolve) => {
      if (child.exitCode !== null || child.signalCode !== null) return resolve();
      child.once("exit", resolve);
      child.stdin.end();
    });
  return { child, stop };
}

/** Starts one of the programs of this folder that serve themselves. */
function startServer(name, ...rest) {
  const { child, stop } = startNode(name, ...rest);
  return { child, stop: untilStopped(child.pid, stop) };
}

/** Has a process ended with all others until it is stopped by itself. */
function untilStopped(pid, stop) {
  running.add(pid);
  return async () => {
    await stop();
    running.delete(pid);
  };
}

/** The first line that a stream brings for which `read` answers something. */
function firstLine(child, stream, what, read) {
  return new Promise((resolve, reject) => {
    const fail = (why) => reject(new Error(`${what} did not start: ${why}`));
    const timer = setTimeout(() => fail(`nothing for ${START_MS_MAX} ms`), START_MS_MAX);
    const exited = (code) => fail(`it ended with ${code}`);
    child.once("exit", exited);
    createInterface({ input: stream }).on("line", (line) => {
      const found = read(line);
      if (found === undefined) return;
      clearTimeout(timer);
      child.off("exit", exited);
      resolve(found);
    });
  });
}

/** Starts the mock upstream. */
export async function startMock() {
  const { child, stop } = startServer("mock.mjs");
  const port = await firstLine(child, child.stdout, "the mock", Number);
  return { url: `http://127.0.0.1:${port}`, stop };
}

/** Starts KV and R2 on disk. */
export async function startStores(folder) {
  const { child, stop } = startServer("stores.mjs", folder);
  const ports = await firstLine(child, child.stdout, "the stores", JSON.parse);
  return { ...ports, stop };
}

/** The workerd that the project's lock file names. */
function workerdBinary() {
  const name = process.platform === "win32" ? "workerd.exe" : "workerd";
  const folder = path.join(root, "node_modules/@cloudflare");
  const packages = fs.existsSync(folder) ? fs.readdirSync(folder) : [];
  const found = packages
    .filter((one) => one.startsWith("workerd-"))
    .map((one) => path.join(folder, one, "bin", name))
    .find((file) => fs.existsSync(file));
  if (found === undefined) throw new Error("there is no workerd in node_modules: run `npm ci` first");
  return found;
}

/** Starts workerd on a configuration: { port, pid, startMs, stop() }. It has not served a request yet. */
export async function startWorkerd(config) {
  const binary = workerdBinary();
  const { child, stop } = startNode("keeper.mjs", binary, "serve", config, "--experimental", "--control-fd=3");
  const listening = firstLine(child, child.stdio[3], "workerd", (line) => {
    const said = JSON.parse(line);
    return said.event === "listen" ? said.port : undefined;
  });
  const started = firstLine(child, child.stdout, "workerd", Number);
  const pid = await started;
  const stopKept = untilStopped(pid, stop);
  const spawnedAt = performance.now();
  const port = await listening;
  await accepts(port);
  return { port, pid, startMs: performance.now() - spawnedAt, stop: stopKept };
}

/** Resolves when somebody listens. */
function accepts(port) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve();
    });
    socket.on("error", reject);
  });
}
