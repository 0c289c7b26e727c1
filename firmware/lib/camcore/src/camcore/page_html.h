// The page that a board shows, one file with its style and script in it. What the board tells is
// only ever put into it as text.
#pragma once

namespace camcore {

inline constexpr char kPageHtml[] = R"html(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>ESP32-CAM</title>
<link rel="icon" href="data:,">
<style>
:root { color-scheme: light dark; --back: #f4f5f7; --card: #fff; --text: #1c2127; --dim: #5c6670; --line: #d9dde2; --own: #0b6bcb; --bad: #b3261e; --good: #1a7f37 }
@media (prefers-color-scheme: dark) {
  :root { --back: #14171a; --card: #1e2226; --text: #e8eaed; --dim: #9aa4ae; --line: #363c43; --own: #6cb2ff; --bad: #ff8a80; --good: #6fdd8b }
}
* { box-sizing: border-box }
[hidden] { display: none !important }
body { margin: 0 auto; padding: 1rem; max-width: 44rem; background: var(--back); color: var(--text); font: 1rem/1.5 system-ui, sans-serif }
h1 { margin: 0; font-size: 1.4rem }
section, details { margin: 1rem 0; padding: 1rem; background: var(--card); border: 1px solid var(--line); border-radius: .6rem }
summary { font-weight: 600; cursor: pointer }
details[open] summary { margin-bottom: .8rem }
label { display: flex; gap: 1rem; align-items: center; justify-content: space-between; margin: .5rem 0 }
input, select, button { font: inherit; color: inherit; background: var(--back); border: 1px solid var(--line); border-radius: .4rem; padding: .4rem .6rem; max-width: 100% }
input:not([type=checkbox]), select { flex: 0 1 16rem; min-width: 0 }
input[type=checkbox] { width: 1.2rem; height: 1.2rem; accent-color: var(--own) }
button { background: var(--own); border-color: var(--own); color: var(--card); font-weight: 600; padding: .5rem 1rem; cursor: pointer }
button:disabled { opacity: .5; cursor: default }
img { display: block; width: 100%; margin-top: 1rem; border-radius: .4rem }
progress { width: 100%; accent-color: var(--own) }
dl { display: grid; grid-template-columns: auto 1fr; gap: .2rem 1rem; margin: 0 }
dt, small { color: var(--dim) }
dd { margin: 0; text-align: right; overflow-wrap: anywhere }
output { display: block; min-height: 1.5em; color: var(--dim) }
.good { color: var(--good) }
.bad { color: var(--bad) }
</style>
</head>
<body>
<h1 id="name">ESP32-CAM</h1>
<output id="state">Asking the board …</output>

<section>
<label id="lit" hidden>With light <input id="light" type="checkbox"></label>
<button id="take">Take a picture</button>
<output id="taken"></output>
<img id="picture" alt="The picture" hidden>
</section>

<section><dl id="facts"></dl></section>

<section>
<label>Board’s password <input id="password" type="password" autocomplete="current-password"></label>
<small>To change anything. The board tells it over its serial line; this page forgets it when it is closed.</small>
</section>

<details><summary>Settings</summary>
<form id="settings"><div id="fields"></div><button>Save</button><output></output></form>
</details>

<details><summary>Wi-Fi</summary>
<form id="wifi">
<label>Name <input name="ssid" required autocomplete="off" autocapitalize="off"></label>
<label>Password <input name="password" type="password" autocomplete="off"></label>
<small>It is tried first. If it fails, the board comes back to the network it has now.</small>
<p><button>Try it</button></p><output></output>
</form>
</details>

<details><summary>Access</summary>
<form id="access">
<label>New password for the board <input name="password" type="password" minlength="8" maxlength="63" autocomplete="new-password"></label>
<label>New key for the bridge <input name="key" type="password" maxlength="64" autocomplete="off"></label>
<label>No key <input name="nokey" type="checkbox"></label>
<label>Old clients need no key <input name="allow_legacy" type="checkbox"></label>
<small>What is left empty stays as it is. With a key, pictures are for who has it, and this page wants the password for everything.</small>
<p><button>Save</button></p><output></output>
</form>
</details>

<details><summary>Firmware</summary>
<form id="update">
<label>Image <input name="image" type="file" accept=".bin" required></label>
<p><button>Update</button></p><progress max="1" value="0" hidden></progress><output></output>
</form>
<form id="restart"><button>Restart the board</button><output></output></form>
</details>

<script>
'use strict';
const $ = id => document.getElementById(id);
const password = $('password');
let locked = false; /* asking on would only count as more wrong passwords */
let filled = false;
let url;

function say(where, text, how = '') {
  where.textContent = text;
  where.className = how;
}

function words(status, told) {
  if (status === 401) return password.value ? 'That is not the board’s password.' : 'Enter the board’s password first.';
  if (status === 429) return 'Too many wrong passwords. Wait a minute.';
  return told.detail ? told.detail[0].toUpperCase() + told.detail.slice(1) + '.' : 'The board answered ' + status + '.';
}

async function ask(method, path, body) {
  const headers = password.value ? {'X-Password': password.value} : {};
  let response;
  try {
    response = await fetch(path, {method, headers, body: body && JSON.stringify(body), signal: AbortSignal.timeout(30000)});
  } catch {
    throw Error('The board does not answer.');
  }
  locked = response.status === 401 || response.status === 429;
  if (response.ok) return response;
  throw Error(words(response.status, await response.json().catch(() => ({}))));
}

function span(ms) {
  const minutes = Math.floor(ms / 60000), hours = Math.floor(minutes / 60), days = Math.floor(hours / 24);
  return days ? days + ' d ' + hours % 24 + ' h' : hours ? hours + ' h ' + minutes % 60 + ' min' : minutes + ' min';
}

const kb = bytes => Math.round(bytes / 1024).toLocaleString('en') + ' KB';
const starts = {power_on: 'power came on', software: 'a restart that was asked for', panic: 'a crash', watchdog: 'it hung', brownout: 'too little power: check supply and cable', deep_sleep: 'woke up'};

function facts(s) {
  const signal = s.rssi > -60 ? 'good' : s.rssi > -72 ? 'fair' : 'weak';
  return {
    'Camera': s.sensor || 'none was found: check its cable',
    'Board': s.board + ', firmware ' + s.firmware,
    'Wi-Fi': s.wifi === 'online' ? s.ssid + ', ' + s.rssi + ' dBm, ' + signal : s.wifi === 'connecting' ? 'looking for ' + s.ssid : 'none is set up',
    'Wi-Fi came back': s.wifi_reconnects + ' times',
    'Pictures': s.captures + ' taken, ' + s.failures + ' failed',
    'Up for': span(s.uptime_ms),
    'Last start': starts[s.reset_reason] || s.reset_reason,
    'Memory': kb(s.heap) + ' free, at least ' + kb(s.min_heap) + (s.psram ? ', PSRAM ' + kb(s.psram_free) : ', no PSRAM'),
    'Key': s.auth === 'hmac' ? 'set' : 'not set',
  };
}

const trials = {
  under_way: ['Trying it. If this page stops answering, look for the board in the new network.'],
  worked: ['It works, and is kept.', 'good'],
  failed: ['It did not work: the name or the password is wrong, or it is out of reach.', 'bad'],
};

function show(s) {
  $('name').textContent = document.title = s.name;
  say($('state'), s.sensor ? 'Ready' : 'No camera', s.sensor ? 'good' : 'bad');
  $('facts').replaceChildren(...Object.entries(facts(s)).flatMap(([key, value]) => [element('dt', key), element('dd', value)]));
  $('lit').hidden = !s.features.includes('flash');
  if (trials[s.wifi_trial]) say($('wifi').querySelector('output'), ...trials[s.wifi_trial]);
  if (filled) return;
  filled = true;
  $('light').checked = s.flash;
  $('access').elements.allow_legacy.checked = s.allow_legacy;
  fill(s);
}

function element(kind, text) {
  const made = document.createElement(kind);
  made.textContent = text;
  return made;
}

const fields = {
  framesize: ['Frame size'], quality: ['Quality, 4 is finest', 4, 63], flash: ['Light with every picture'], flash_level: ['Light, percent', 1, 80],
  vflip: ['Upside down'], hmirror: ['Mirrored'], brightness: ['Brightness', -2, 2], contrast: ['Contrast', -2, 2], saturation: ['Saturation', -2, 2], xclk_mhz: ['Sensor’s clock, MHz', 6, 20],
};

function fill(s) {
  $('fields').replaceChildren(...Object.entries(fields).map(([key, [title, min, max]]) => {
    const input = document.createElement(key === 'framesize' ? 'select' : 'input');
    if (key === 'framesize') {
      input.append(...sizes(s).map(size => element('option', size)));
      input.value = s[key];
    } else if (max) {
      Object.assign(input, {type: 'number', min, max, required: true, value: s[key]});
    } else {
      Object.assign(input, {type: 'checkbox', checked: s[key]});
    }
    input.name = key;
    const label = element('label', title + ' ');
    label.append(input);
    return label;
  }));
}

let known = [];
const sizes = s => known = s.framesizes || known;

async function refresh() {
  if (!locked && !document.hidden) {
    try {
      show(await (await ask('GET', '/status')).json());
    } catch (error) {
      say($('state'), error.message, 'bad');
    }
  }
}

async function loop() {
  await refresh();
  setTimeout(loop, 5000);
}

password.onchange = () => { locked = false; refresh(); };

$('take').onclick = async event => {
  const out = $('taken');
  event.target.disabled = true;
  say(out, 'Taking it …');
  try {
    const response = await ask('GET', '/capture' + ($('lit').hidden ? '' : '?flash=' + +$('light').checked));
    const picture = await response.blob();
    const age = response.headers.get('X-Age-Ms'), lit = response.headers.get('X-Flash') === 'true';
    if (url) URL.revokeObjectURL(url);
    const image = $('picture');
    image.src = url = URL.createObjectURL(picture);
    image.hidden = false;
    await image.decode();
    say(out, image.naturalWidth + ' × ' + image.naturalHeight + ', ' + kb(picture.size) + ', ' + (age / 1000).toFixed(1) + ' s old when it was sent' + (lit ? ', with light' : ''));
  } catch (error) {
    say(out, error.message, 'bad');
  }
  event.target.disabled = false;
};

function on(id, start, action) {
  const form = $(id);
  form.onsubmit = async event => {
    event.preventDefault();
    const button = form.querySelector('button'), out = form.querySelector('output');
    button.disabled = true;
    say(out, start);
    try {
      say(out, await action(form.elements, form), 'good');
    } catch (error) {
      say(out, error.message, 'bad');
    }
    button.disabled = false;
  };
}

on('settings', 'Saving …', async elements => {
  const wanted = {};
  for (const key in fields) {
    const input = elements[key];
    wanted[key] = key === 'framesize' ? input.value : input.type === 'checkbox' ? input.checked : +input.value;
  }
  fill(await (await ask('POST', '/settings', wanted)).json());
  return 'Saved.';
});

on('wifi', 'Sending it …', async ({ssid, password: secret}) => {
  await ask('POST', '/wifi', {ssid: ssid.value, password: secret.value});
  return trials.under_way[0];
});

on('access', 'Saving …', async (elements, form) => {
  const wanted = {allow_legacy: elements.allow_legacy.checked};
  if (elements.password.value) wanted.password = elements.password.value;
  if (elements.key.value || elements.nokey.checked) wanted.key = elements.nokey.checked ? '' : elements.key.value;
  await ask('POST', '/access', wanted);
  if (wanted.password) password.value = wanted.password;
  form.reset();
  elements.allow_legacy.checked = wanted.allow_legacy;
  refresh();
  return 'Saved.';
});

on('update', 'Sending it …', ({image}, form) => new Promise((resolve, reject) => {
  const bar = form.querySelector('progress'), request = new XMLHttpRequest();
  request.open('POST', '/update');
  if (password.value) request.setRequestHeader('X-Password', password.value);
  request.upload.onprogress = event => { bar.value = event.loaded / event.total; };
  request.onload = () => {
    let told = {};
    try { told = JSON.parse(request.responseText); } catch { }
    if (request.status === 200) resolve('Done. The board restarts.');
    else reject(Error(words(request.status, told)));
  };
  request.onerror = () => reject(Error('The connection broke off.'));
  request.onloadend = () => { bar.hidden = true; };
  bar.hidden = false;
  request.send(image.files[0]);
}));

on('restart', 'Asking …', async () => {
  await ask('POST', '/restart', {});
  return 'The board restarts.';
});

loop();
</script>
</body>
</html>
)html";

}  // namespace camcore
