// Processes that listen: a port for them, and how to know that they are there.

import { spawn } from 'node:child_process';
import net from 'node:net';

import { until } from './http.mjs';

const START_MS_MAX = 120_000;

/** A port that nobody listens on. */
export async function freePort() {
  const server = net.createServer();
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise(resolve => server.close(resolve));
  return port;
}

/** Starts a process and waits until it takes connections. */
export async function startListening(program, args, { port, env = process.env, log }) {
  const output = log ? 'inherit' : 'ignore';
  const child = spawn(program, args, { env, stdio: ['ignore', output, output] });
  const connects = () => new Promise(resolve => {
    const socket = net.connect(port, '127.0.0.1', () => resolve(socket.destroy() && true));
    socket.on('error', () => resolve(false));
  });
  const failed = new Promise((_, reject) => {
    child.once('error', reject);
    child.once('exit', code => reject(new Error(`${program} ended with ${code} before it served`)));
  });
  failed.catch(() => {});
  if (!await Promise.race([until(connects, Boolean, START_MS_MAX, 20), failed])) throw new Error(`${program} does not serve`);
  return child;
}
