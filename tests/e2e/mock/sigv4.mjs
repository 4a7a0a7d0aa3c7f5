// Verifies Amazon's signature, version 4, as its service does.
// Follows https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html.

import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

/** A signature is good for so long. */
const AGE_MS_MAX = 5 * 60 * 1000;
const AUTHORIZATION = /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([a-z0-9-]+)\/([a-z0-9-]+)\/aws4_request, ?SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})$/;

const hash = bytes => createHash('sha256').update(bytes).digest('hex');
const hmac = (key, text) => createHmac('sha256', key).update(text).digest();
const encode = text => encodeURIComponent(text).replace(/[!'()*]/g, letter => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`);

/** The path as it came, each segment encoded once more. */
const canonicalPath = path => path.split('/').map(encode).join('/');
const canonicalQuery = search => search.split('&').filter(Boolean).map(pair => (pair.includes('=') ? pair : `${pair}=`)).sort().join('&');

/**
 * What is wrong with a request's signature: { status, type, message }, or `null`.
 * `request`: { method, url, headers, body }; `key`: { id, secret }; `scope`: { region, service }.
 */
export function signatureProblem(request, key, scope, now = Date.now()) {
  const { method, url, headers, body } = request;
  const wrong = (message, type = 'InvalidSignatureException') => ({ status: 403, type, message });
  const found = AUTHORIZATION.exec(headers.authorization ?? '');
  if (!found) return wrong('Authorization header is malformed.', 'IncompleteSignatureException');
  const [, id, date, region, service, names, signature] = found;
  const stamp = headers['x-amz-date'];
  if (id !== key.id) return wrong('The security token included in the request is invalid.', 'UnrecognizedClientException');
  if (region !== scope.region || service !== scope.service) return wrong(`Credential should be scoped to a valid region and correct service: '${scope.service}'.`);
  const time = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(stamp ?? '');
  if (!time || !stamp.startsWith(date)) return wrong("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP.");
  const [year, month, day, ...clock] = time.slice(1).map(Number);
  if (Math.abs(Date.UTC(year, month - 1, day, ...clock) - now) > AGE_MS_MAX) return wrong(`Signature expired: ${stamp}`);
  const signed = names.split(';');
  if (signed.join() !== [...signed].sort().join()) return wrong('SignedHeaders are not sorted.');
  const due = ['host', ...Object.keys(headers).filter(name => name.startsWith('x-amz-'))];
  const unsigned = due.find(name => !signed.includes(name));
  if (unsigned) return wrong(`'${unsigned}' must be a 'SignedHeader' in the AWS Authorization.`);
  const payload = hash(body ?? '');
  if (headers['x-amz-content-sha256'] !== undefined && headers['x-amz-content-sha256'] !== payload) return wrong('The provided x-amz-content-sha256 header does not match what was computed.');
  const [path, search = ''] = url.split('?');
  const canonical = [method, canonicalPath(path), canonicalQuery(search), ...signed.map(name => `${name}:${(headers[name] ?? '').trim().replace(/ +/g, ' ')}`), '', names, payload].join('\n');
  const text = ['AWS4-HMAC-SHA256', stamp, `${date}/${region}/${service}/aws4_request`, hash(canonical)].join('\n');
  const secret = [date, region, service, 'aws4_request'].reduce((made, part) => hmac(made, part), `AWS4${key.secret}`);
  return timingSafeEqual(hmac(secret, text), Buffer.from(signature, 'hex')) ? null
    : wrong('The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.');
}
