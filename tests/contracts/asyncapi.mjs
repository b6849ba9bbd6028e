// Parses an AsyncAPI document as its readers would; ends with 1 when the parser finds an error.
import { readFile } from 'node:fs/promises';
import { DiagnosticSeverity, Parser } from '@asyncapi/parser';

const [path = new URL('../../schemas/asyncapi.json', import.meta.url)] = process.argv.slice(2);
const { document, diagnostics } = await new Parser().parse(await readFile(path, 'utf8'));

for (const { severity, code, message, path: place } of diagnostics) {
  console.log(`${DiagnosticSeverity[severity].toLowerCase()}: ${code} at /${place.join('/')}: ${message}`);
}
if (diagnostics.some(({ severity }) => severity === DiagnosticSeverity.Error)) process.exit(1);
// A document of which nothing is read would have no errors either.
const topics = document.channels().all().map((channel) => `${channel.address()} (${channel.messages().all().length} messages)`);
const sent = document.operations().filterBySend().length;
if (topics.length === 0 || sent !== topics.length) {
  console.log(`error: ${topics.length} topics, and ${sent} of them are written to`);
  process.exit(1);
}
console.log(`AsyncAPI ${document.version()}: ${topics.join(', ')}`);
