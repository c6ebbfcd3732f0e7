// Draws each dashboard, as it looks over the last minutes, into a PNG:
//
//     node render.mjs http://127.0.0.1:9090 ../../docs/grafana [seconds shown] [seconds between scrapes]
//
// It needs Chromium, and a Prometheus that scrapes Pigeonhole. script/screenshots starts all of that.
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync, mkdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import esbuild from 'esbuild';
import puppeteer from 'puppeteer-core';

const here = import.meta.dirname;
const require = createRequire(import.meta.url);
const [prometheus, out, seconds = '300', scrape = '15'] = process.argv.slice(2);
if (!prometheus || !out) {
  console.error('usage: node render.mjs PROMETHEUS_URL FOLDER [SECONDS_SHOWN] [SECONDS_BETWEEN_SCRAPES]');
  process.exit(2);
}

/** The names that Chromium has on one system or another. */
function chromium() {
  for (const name of ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']) {
    try {
      return execFileSync('which', [name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
    } catch {
      // The next one.
    }
  }
  throw new Error('there is no Chromium: script/bootstrap --full installs one');
}

const { outputFiles } = await esbuild.build({
  entryPoints: [join(here, 'src/page.tsx')],
  bundle: true,
  write: false,
  outdir: here,
  format: 'iife',
  jsx: 'automatic',
  minify: true,
  logLevel: 'error',
  // Their modules for Node: those for bundlers end in .mjs, where esbuild takes the default export of a CommonJS package for
  // the whole of it, as Node does.
  alias: Object.fromEntries(
    ['@grafana/data', '@grafana/schema', '@grafana/ui'].map((name) => [name, require.resolve(name)])
  ),
  define: { 'process.env.NODE_ENV': '"production"', global: 'window' },
  loader: { '.svg': 'dataurl', '.woff': 'dataurl', '.woff2': 'dataurl', '.png': 'dataurl', '.ttf': 'empty' },
});
const built = (ending) => outputFiles.find(({ path }) => path.endsWith(ending)).text;
const html = `<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="/page.css"><body style="margin: 0">
<div id="root"></div><script src="/page.js"></script>`;
const files = new Map([
  ['/', ['text/html', html]],
  ['/page.js', ['text/javascript; charset=utf-8', built('.js')]],
  ['/page.css', ['text/css', built('.css')]],
]);

// The page and Prometheus under one origin.
const server = createServer(async (request, response) => {
  if (request.url.startsWith('/api/')) {
    const chunks = [];
    for await (const chunk of request) {
      chunks.push(chunk);
    }
    const headers = { 'content-type': request.headers['content-type'] };
    const answer = await fetch(prometheus + request.url, { method: request.method, headers, body: Buffer.concat(chunks) });
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(await answer.text());
  } else {
    const [type, text] = files.get(request.url) ?? [];
    response.writeHead(type ? 200 : 404, type && { 'content-type': type }).end(text);
  }
});
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));

const browser = await puppeteer.launch({ executablePath: chromium(), args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] });
let failed = false;
try {
  mkdirSync(out, { recursive: true });
  const folder = join(here, '../dashboards');
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.json')).sort()) {
    const page = await browser.newPage();
    page.on('pageerror', (error) => {
      failed = true;
      console.error(`${file}: ${error.stack ?? error}`);
    });
    await page.setViewport({ width: 1600, height: 3000 });
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    const dashboard = JSON.parse(readFileSync(join(folder, file), 'utf8'));
    const input = { dashboard, seconds: Number(seconds), scrape: Number(scrape) };
    const { empty, height } = await page.evaluate((input) => window.draw(input), input);
    await page.setViewport({ width: 1600, height });
    await page.screenshot({ path: join(out, file.replace('.json', '.png')), clip: { x: 0, y: 0, width: 1600, height } });
    console.log(`${file.replace('.json', '.png')}: ${empty.length === 0 ? 'every panel has data' : `no data in: ${empty.join('; ')}`}`);
    await page.close();
  }
} finally {
  await browser.close();
  server.close();
}
process.exit(failed ? 1 : 0);
