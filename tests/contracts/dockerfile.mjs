// Reads the Dockerfile as an engine would; ends with 1 when something in it is wrong or doubtful.
import { readFile } from 'node:fs/promises';
import { DockerfileParser } from 'dockerfile-ast';
import { validate } from 'dockerfile-utils';

const [path = new URL('../../Dockerfile', import.meta.url)] = process.argv.slice(2);
const text = await readFile(path, 'utf8');
const faults = validate(text);

for (const { range, message } of faults) console.log(`line ${range.start.line + 1}: ${message}`);
if (faults.length > 0) process.exit(1);
const stages = DockerfileParser.parse(text).getFROMs().map((from) => from.getImage());
console.log(`${stages.length} stages: ${stages.join(', ')}`);
