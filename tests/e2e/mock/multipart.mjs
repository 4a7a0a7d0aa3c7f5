// Reads `multipart/form-data` as strictly as RFC 7578 allows.

/** The parts of a body: [{ name, filename?, type?, bytes }], or `undefined` where it is no such body. */
export function parseMultipart(contentType, body) {
  const boundary = /^multipart\/form-data\s*;.*\bboundary=(?:"([^"]+)"|([^;\s]+))/i.exec(contentType ?? '');
  if (!boundary) return undefined;
  const mark = Buffer.from(`--${boundary[1] ?? boundary[2]}`);
  const parts = [];
  let at = body.indexOf(mark);
  if (at !== 0) return undefined;
  for (;;) {
    const start = at + mark.length;
    if (body.subarray(start, start + 2).toString('latin1') === '--') return parts;
    const next = body.indexOf(Buffer.concat([Buffer.from('\r\n'), mark]), start);
    if (body.subarray(start, start + 2).toString('latin1') !== '\r\n' || next < 0) return undefined;
    const part = parsePart(body.subarray(start + 2, next));
    if (!part) return undefined;
    parts.push(part);
    at = next + 2;
  }
}

function parsePart(bytes) {
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const headers = Object.fromEntries(bytes.subarray(0, end).toString('utf8').split('\r\n').map(line => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]));
  const disposition = headers['content-disposition'] ?? '';
  const name = /^form-data\s*;.*\bname="((?:[^"\\]|\\.)*)"/i.exec(disposition)?.[1];
  if (name === undefined) return undefined;
  return { name, filename: /\bfilename="((?:[^"\\]|\\.)*)"/i.exec(disposition)?.[1], type: headers['content-type'], bytes: bytes.subarray(end + 4) };
}

/** The parts as an object: texts as texts, files as { filename, type, bytes }; names that end in `[]` as lists. */
export function formOf(parts) {
  const form = {};
  for (const part of parts) {
    const value = part.filename === undefined ? part.bytes.toString('utf8') : { filename: part.filename, type: part.type, bytes: part.bytes };
    const name = part.name.replace(/\[\]$/, '');
    if (part.name.endsWith('[]') || Object.hasOwn(form, name)) form[name] = [...[form[name] ?? []].flat(), value];
    else form[name] = value;
  }
  return form;
}
