// Runs a program and ends it when its own standard input ends: nothing outlives the bench, however that ends.
//
// Prints the program's id. The program's descriptor 3 is this process's.
import { spawn } from "node:child_process";

const [program, ...rest] = process.argv.slice(2);
const child = spawn(program, rest, { stdio: ["ignore", 2, 2, 3] });
// A signal to the whole group reaches the bench too, which then lets go of this process.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => {});
child.on("error", (error) => {
  console.error(error.message);
  process.exit(1);
});
child.on("spawn", () => console.log(child.pid));
child.on("exit", (code) => process.exit(code ?? 1));
process.stdin.on("end", () => child.kill("SIGKILL")).resume();
