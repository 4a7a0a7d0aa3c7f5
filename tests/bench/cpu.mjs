// The CPU that a process has used, where the system tells it.
import { execFileSync } from "node:child_process";
import fs from "node:fs";

/** The fields of /proc/<pid>/stat behind the name: user time is the 12th, system time the 13th. */
const USER = 11;
const SYSTEM = 12;

let ticksPerSecond;

/** Milliseconds of CPU of a process with all its threads, user and system; undefined where nobody tells. */
export function cpuMs(pid) {
  if (process.platform !== "linux") return undefined;
  return scheduledMs(pid) ?? tickedMs(pid);
}

/** To the nanosecond, from the scheduler's own books, where the kernel keeps them. */
function scheduledMs(pid) {
  try {
    const threads = fs.readdirSync(`/proc/${pid}/task`);
    const nanoseconds = threads.map((thread) =>
      Number(fs.readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "latin1").split(" ")[0]),
    );
    const total = nanoseconds.reduce((sum, one) => sum + one, 0);
    return total > 0 ? total / 1e6 : undefined;
  } catch (error) {
    if (error.code === "ENOENT") return undefined;
    throw error;
  }
}

/** To the tick, usually ten milliseconds. */
function tickedMs(pid) {
  ticksPerSecond ??= Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));
  const stat = fs.readFileSync(`/proc/${pid}/stat`, "latin1");
  // The name stands in parentheses and may hold anything.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return ((Number(fields[USER]) + Number(fields[SYSTEM])) * 1000) / ticksPerSecond;
}

/** The difference of two readings. */
export const difference = (before, after) => (before === undefined ? undefined : after - before);
