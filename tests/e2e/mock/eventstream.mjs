// Amazon's binary event stream: length, headers, payload and two checksums a message.
// Follows https://docs.aws.amazon.com/transcribe/latest/dg/event-stream.html.

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value >>> 0;
});

/** CRC-32 as zlib has it. */
export function crc32(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = TABLE[(value ^ byte) & 0xff] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

/** Headers carry texts only (type 7). */
const header = ([name, value]) => {
  const [key, text] = [Buffer.from(name), Buffer.from(value)];
  const bytes = Buffer.alloc(4 + key.length + text.length);
  bytes.writeUInt8(key.length, 0);
  key.copy(bytes, 1);
  bytes.writeUInt8(7, 1 + key.length);
  bytes.writeUInt16BE(text.length, 2 + key.length);
  text.copy(bytes, 4 + key.length);
  return bytes;
};

/** One message. */
export function message(headers, payload) {
  const head = Buffer.concat(Object.entries(headers).map(header));
  const body = Buffer.from(JSON.stringify(payload));
  const bytes = Buffer.alloc(16 + head.length + body.length);
  bytes.writeUInt32BE(bytes.length, 0);
  bytes.writeUInt32BE(head.length, 4);
  bytes.writeUInt32BE(crc32(bytes.subarray(0, 8)), 8);
  head.copy(bytes, 12);
  body.copy(bytes, 12 + head.length);
  bytes.writeUInt32BE(crc32(bytes.subarray(0, bytes.length - 4)), bytes.length - 4);
  return bytes;
}

/** The messages of a whole stream, as { headers, payload }; throws where a length or a checksum is wrong. */
export function messages(bytes) {
  const found = [];
  for (let at = 0; at < bytes.length;) {
    const length = bytes.readUInt32BE(at);
    const one = bytes.subarray(at, at + length);
    if (one.length !== length || crc32(one.subarray(0, 8)) !== one.readUInt32BE(8) || crc32(one.subarray(0, length - 4)) !== one.readUInt32BE(length - 4)) throw new Error(`a broken message at ${at}`);
    const end = 12 + one.readUInt32BE(4);
    const headers = {};
    for (let place = 12; place < end;) {
      const name = one.subarray(place + 1, place + 1 + one[place]).toString();
      const value = place + 2 + one[place];
      headers[name] = one.subarray(value + 2, value + 2 + one.readUInt16BE(value)).toString();
      place = value + 2 + one.readUInt16BE(value);
    }
    found.push({ headers, payload: JSON.parse(one.subarray(end, length - 4).toString()) });
    at += length;
  }
  return found;
}
