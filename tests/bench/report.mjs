// The tables. Knows how numbers are shown, not how they came about.
import { KINDS } from "./exchange.mjs";

const NOT_AVAILABLE = "n/a";

const fixed = (digits) => (value) => (Number.isFinite(value) ? value.toFixed(digits) : NOT_AVAILABLE);
const cpu = fixed(3);
const ms = fixed(2);
const whole = fixed(0);
const ratio = (of, to) => (Number.isFinite(of / to) ? `${(of / to).toFixed(2)} x` : NOT_AVAILABLE);

/** Rows of cells as text, columns aligned: the first to the left, the others to the right. */
function table(head, rows) {
  const all = [head, ...rows];
  const widths = head.map((_, i) => Math.max(...all.map((row) => row[i].length)));
  const line = (row) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join("  ");
  const rule = widths.map((width) => "-".repeat(width)).join("  ");
  return [line(head), rule, ...rows.map(line)].join("\n");
}

const MATRIX_HEAD = [
  "", "conns", "answers/s", "CPU ms", "p50", "p95", "p99", "first p50", "p95", "p99",
];

function cellRow(name, { connections, perSecond, cpuMs, totalMs, firstMs }) {
  const times = [totalMs, firstMs].flatMap(({ p50, p95, p99 }) => [p50, p95, p99].map(ms));
  return [name, String(connections), whole(perSecond), cpu(cpuMs), ...times];
}

function ratioRow(floor, subject) {
  const times = ["totalMs", "firstMs"].flatMap((of) =>
    ["p50", "p95", "p99"].map((at) => ratio(subject[of][at], floor[of][at])),
  );
  return [
    "  ratio",
    "",
    ratio(subject.perSecond, floor.perSecond),
    ratio(subject.cpuMs, floor.cpuMs),
    ...times,
  ];
}

/** The table of one kind: pairs of cells with their ratio. */
export function matrixTable(kind, pairs) {
  const rows = pairs.flatMap(({ floor, subject }) => [
    cellRow(floor.side, floor),
    cellRow(subject.side, subject),
    ratioRow(floor, subject),
  ]);
  return `${KINDS[kind].title} (times in ms)\n\n${table(MATRIX_HEAD, rows)}`;
}

/** Where the CPU goes: each way is longer than those above it. */
export function breakdownTable(rows) {
  const floor = rows[0].cell.cpuMs;
  const lines = rows.map(({ title, cell }) => [
    title,
    cpu(cell.cpuMs),
    ratio(cell.cpuMs, floor),
    cpu(cell.cpuSettlingMs),
    whole(cell.perSecond),
  ]);
  const head = ["", "CPU ms", "to floor", "of it after the answer", "answers/s"];
  return `Where the CPU goes (${rows[0].cell.connections} connections)\n\n${table(head, lines)}`;
}

/** Ways to do the same, beside the first of them. */
export function ratioTable(kind, rows) {
  const [{ cell: first }] = rows;
  const lines = rows.map(({ title, cell }) => [
    title,
    cpu(cell.cpuMs),
    cpu(cell.cpuMs - first.cpuMs),
    ratio(cell.cpuMs, first.cpuMs),
    ms(cell.totalMs.p50),
    ms(cell.firstMs.p50),
  ]);
  const head = ["", "CPU ms", "over the first", "ratio", "p50", "first p50"];
  return `${KINDS[kind].title} (${first.connections} connections)\n\n${table(head, lines)}`;
}

/** What a request asks of the ledger. */
export function countsTable(found) {
  const rows = found.map((one) => [
    String(one.connections),
    ms(one.calls),
    Object.entries(one.commands).map(([name, share]) => `${share.toFixed(2)} ${name}`).join(", "),
    ms(one.commits),
    ms(one.rowsWritten),
    whole(one.bytesIn),
    whole(one.bytesOut),
  ]);
  const head = ["conns", "calls", "commands", "commits", "rows", "bytes in", "bytes out"];
  return `What a chat asks of the ledger, for each request\n\n${table(head, rows)}`;
}

/** How long starting takes. */
export function startTable(found) {
  const rows = found.map(({ name, startMs, firstMs, warmMs, overMs }) =>
    [name, ...[startMs, firstMs, warmMs, overMs].map(ms)],
  );
  return `Start (ms, medians)\n\n${table(["", "until it listens", "first answer", "warm answer", "difference"], rows)}`;
}

/** The worker's size. */
export const sizeLine = ({ raw, gzip }) =>
  `wasm: ${(raw / 1024).toFixed(0)} KB raw, ${(gzip / 1024).toFixed(0)} KB gzip`;
