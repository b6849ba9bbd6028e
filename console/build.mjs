// Builds dist/: index.html, {password,verify,join,graphiql}/index.html and assets/* with hashed names. No server-side part, nothing loaded from elsewhere.
import { build } from 'esbuild';
import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(fileURLToPath(import.meta.url));
process.chdir(root);

// The content security policy is `default-src 'self'`: a data: address in a style sheet would be refused by the browser. Embedded
// fonts are dropped (the pages use the system's), embedded images become files of their own.
const noDataUrls = {
  name: 'no-data-urls',
  setup(build) {
    const images = new Map();
    build.onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const css = await readFile(path, 'utf8');
      return { contents: css.replace(/@font-face\s*\{[^}]*\}/g, ''), loader: 'css' };
    });
    build.onResolve({ filter: /^data:/ }, ({ path, kind }) => {
      if (kind !== 'url-token') return undefined;
      const match = /^data:image\/(png|gif|svg\+xml)(?:;[^,;]*)*?(;base64)?,([\s\S]*)$/.exec(path);
      if (!match) throw new Error(`cannot turn this address into a file: ${path.slice(0, 60)}`);
      const [, type, base64, data] = match;
      const bytes = base64 ? Buffer.from(data, 'base64') : Buffer.from(decodeURIComponent(data));
      const name = `image-${createHash('sha256').update(bytes).digest('hex').slice(0, 8)}.${type.replace('+xml', '')}`;
      images.set(name, bytes);
      return { path: name, namespace: 'image' };
    });
    build.onLoad({ filter: /.*/, namespace: 'image' }, ({ path }) => ({ contents: images.get(path), loader: 'file' }));
  },
};

// The licence texts of everything that went into the bundle, which those licences ask for.
async function thirdParty(inputs) {
  const folders = new Set();
  for (const input of inputs) {
    const match = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input);
    if (match) folders.add(match[1]);
  }
  const parts = [];
  for (const folder of [...folders].sort()) {
    const { name, version, license } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
    const file = (await readdir(folder)).sort().find((entry) => /^(licen[cs]e|copying)/i.test(entry));
    const text = file ? (await readFile(join(folder, file), 'utf8')).trim() : 'The package carries no licence text of its own.';
    parts.push(`${name} ${version} (${license})\n\n${text}\n`);
  }
  return parts.join(`\n${'-'.repeat(80)}\n\n`);
}

await rm('dist', { recursive: true, force: true });
const { metafile } = await build({
  entryPoints: { start: 'src/start/start.ts', password: 'src/password/password.ts', verify: 'src/verify/verify.ts', join: 'src/join/join.ts', graphiql: 'src/graphiql/graphiql.tsx', favicon: 'src/favicon.svg' },
  outdir: 'dist',
  entryNames: 'assets/[name]-[hash]',
  assetNames: 'assets/[name]-[hash]',
  publicPath: '/',
  bundle: true,
  minify: true,
  format: 'esm',
  target: ['chrome109', 'firefox115', 'safari16'],
  jsx: 'automatic',
  loader: { '.svg': 'copy' },
  define: { 'process.env.NODE_ENV': '"production"' },
  legalComments: 'none',
  logLevel: 'warning',
  metafile: true,
  plugins: [noDataUrls],
});

await writeFile('dist/assets/third-party.txt', await thirdParty(Object.keys(metafile.inputs)));

// What each {{name.ext}} in a page's template stands for.
const addresses = new Map();
for (const [file, { entryPoint, cssBundle }] of Object.entries(metafile.outputs)) {
  if (!entryPoint) continue;
  const name = /([a-z]+)-[^/]*$/.exec(file)[1];
  addresses.set(`${name}.${file.split('.').pop()}`, file);
  if (cssBundle) addresses.set(`${name}.css`, cssBundle);
}
const pages = [
  ['src/start/index.html', 'dist/index.html'],
  ['src/password/index.html', 'dist/password/index.html'],
  ['src/verify/index.html', 'dist/verify/index.html'],
  ['src/join/index.html', 'dist/join/index.html'],
  ['src/graphiql/index.html', 'dist/graphiql/index.html'],
];
for (const [template, page] of pages) {
  const html = await readFile(template, 'utf8');
  await mkdir(dirname(page), { recursive: true });
  await writeFile(page, html.replace(/\{\{([a-z.]+)\}\}/g, (_, name) => {
    const file = addresses.get(name);
    if (!file) throw new Error(`${template} asks for ${name}, which was not built`);
    return file.replace(/^dist/, '');
  }));
}

for (const file of [...pages.map(([, page]) => page.replace(/^dist\//, '')), ...(await readdir('dist/assets')).map((name) => `assets/${name}`)]) {
  console.log(`${String((await stat(join('dist', file))).size).padStart(9)}  dist/${file}`);
}
