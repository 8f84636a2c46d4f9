/* explorer.js: the map. It knows which tiles are in view, asks for them, and drops requests for those that are not any
 * more: the server notices that the connection was closed and cancels the job.
 *
 * The plane is a square of side 1, with the origin at its upper left. At level z it is cut into 2^z by 2^z tiles. */
'use strict';

const SIDE = 256, DEEPEST = 40, KEPT_IMAGES = 500;
const WHOLE = {left: -2.25, top: 1.5, side: 3};   // as in tile.c
const TOUR = [[-0.743643887037151, 0.131825904205330, 13], [-0.16070135, 1.0375665, 15], [0.2865, 0.0122, 11],
    [-1.25066, 0.02012, 13], [-0.7269, 0.1889, 12], [-1.768778833, -0.001738996, 16], [0.001643721971153, 0.822467633298876, 14]];

const map = document.getElementById('map'), pen = map.getContext('2d');
const byId = (id) => document.getElementById(id);
const view = {x: 0.5, y: 0.5, zoom: 2};
const fingers = new Map();     // pointers that are down
const tiles = new Map();        // key -> tile; a tile keeps its image while a new one is being drawn
let toured = 0, flight = null, redraw = true, pumpAt = 0, drawnAt = 0;

/* ---- where to ask ---- */

/* Browsers open six connections to one host. On this machine every name below .localhost leads to the server too, and
 * with several names enough requests are under way to see a queue. */
const local = /^(127\.0\.0\.1|localhost|.*\.localhost)$/.test(location.hostname);
let hosts = local ? [0, 1, 2, 3].map((n) => `http://t${n}.localhost:${location.port || 80}`) : [''];
const reached = new Set();      // hosts that have answered
const mostAsked = () => hosts.length > 1 ? 24 : 5;

/* ---- what the visitor has chosen ---- */

const power = (id, low, high) => Math.round(low * Math.pow(high / low, byId(id).value / 100));
const roundTo = (n) => { const unit = Math.pow(10, Math.max(0, Math.floor(Math.log10(n)) - 1)); return Math.round(n / unit) * unit; };
const deadline = () => roundTo(power('deadline', 5, 20000));
const iterations = () => roundTo(power('detail', 100, 50000));
const priority = () => document.querySelector('input[name=priority]:checked').value;

function showChoices() {
    const ms = deadline();
    byId('deadline-value').value = ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`;
    byId('detail-value').value = iterations().toLocaleString('en');
}

/* ---- which tiles ---- */

const level = () => Math.max(0, Math.min(DEEPEST, Math.round(view.zoom)));
const keyOf = (z, x, y) => `${z}/${x}/${y}`;

/* The tiles in view, those in the middle first; with a margin, those around it as well. */
function tilesInView(margin) {
    const z = level(), count = Math.pow(2, z), scale = SIDE * Math.pow(2, view.zoom);
    const halfX = map.clientWidth / 2 / scale, halfY = map.clientHeight / 2 / scale;
    const clamp = (n) => Math.max(0, Math.min(count - 1, n));
    const left = clamp(Math.floor((view.x - halfX) * count) - margin), right = clamp(Math.floor((view.x + halfX) * count) + margin);
    const top = clamp(Math.floor((view.y - halfY) * count) - margin), bottom = clamp(Math.floor((view.y + halfY) * count) + margin);
    const found = [];
    for (let y = top; y <= bottom; y++) {
        for (let x = left; x <= right; x++) {
            found.push({z, x, y, far: Math.hypot((x + .5) / count - view.x, (y + .5) / count - view.y)});
        }
    }
    return found.sort((a, b) => a.far - b.far);
}

function tileAt(place) {
    const key = keyOf(place.z, place.x, place.y);
    let tile = tiles.get(key);
    if (!tile) {
        tile = {...place, key, state: 'wanted', image: null, shown: 0};
        tiles.set(key, tile);
    }
    return tile;
}

/* ---- asking ---- */

async function ask(tile, rank) {
    const host = hosts[(tile.x * 7 + tile.y * 3) % hosts.length], control = new AbortController(), asked = deadline();
    tile.state = 'asked';
    tile.control = control;
    tile.askedAt = performance.now();
    let state, image = null;
    try {
        const reply = await fetch(`${host}/tiles/${tile.key}.png?deadline=${asked}&iterations=${iterations()}&priority=${rank}`,
            {signal: control.signal, cache: 'no-store'});
        image = reply.ok ? await createImageBitmap(await reply.blob()) : null;
        state = reply.ok ? 'drawn' : reply.status === 504 ? 'late' : reply.status === 503 ? 'refused' : 'failed';
    } catch (error) {
        state = 'failed';
        if (hosts.length > 1 && host && tile.control === control && !reached.has(host)) {
            hosts = [''];       // names below .localhost lead nowhere in this browser
            state = 'wanted';
        }
    }
    if (tile.control !== control) {
        return;                 // dropped meanwhile, and perhaps asked for again
    }
    if (state === 'drawn') {
        tile.image = image;
        tile.shown = performance.now();
        reached.add(host);
    }
    tile.state = state;
    tile.until = performance.now() + 1000;
    tile.deadline = asked;
    tile.control = null;
    redraw = true;
    pump();
}

function drop(tile) {
    const control = tile.control;
    tile.control = null;
    tile.state = 'wanted';
    control.abort();            // closes the connection, which cancels the job
}

/* Drops what is out of view, and asks for what is in it, as far as there is room. */
function pump() {
    const inView = tilesInView(0).map(tileAt), wanted = new Set(inView), rim = [];
    if (byId('rim').checked) {
        for (const place of tilesInView(1)) {
            const tile = tileAt(place);
            if (!wanted.has(tile)) {
                rim.push(tile);
                wanted.add(tile);
            }
        }
    }
    let asked = 0;
    for (const tile of tiles.values()) {
        if (tile.state === 'asked' && !wanted.has(tile)) {
            drop(tile);
        }
        asked += tile.state === 'asked' ? 1 : 0;
    }
    const now = performance.now();
    for (const tile of [...inView, ...rim]) {
        const again = (tile.state === 'refused' || tile.state === 'failed') && now > tile.until ||
            tile.state === 'late' && tile.deadline < deadline();
        if (asked < mostAsked() && (tile.state === 'wanted' || again)) {
            ask(tile, rim.includes(tile) ? 'low' : priority());
            asked++;
        }
    }
    forget(wanted);
    redraw = true;
}

function forget(wanted) {
    for (const tile of tiles.values()) {
        if (tiles.size <= KEPT_IMAGES) {
            return;
        }
        if (!wanted.has(tile) && !tile.control) {
            tiles.delete(tile.key);
        }
    }
}

/* While the view moves, not at every frame. */
function moved() {
    redraw = true;
    const now = performance.now();
    if (now > pumpAt) {
        pumpAt = now + 70;
        setTimeout(() => { pump(); remember(); }, 70);
    }
}

/* ---- drawing ---- */

function place(tile) {
    const scale = SIDE * Math.pow(2, view.zoom), size = scale / Math.pow(2, tile.z);
    const left = (tile.x / Math.pow(2, tile.z) - view.x) * scale + map.clientWidth / 2;
    const top = (tile.y / Math.pow(2, tile.z) - view.y) * scale + map.clientHeight / 2;
    return {left: Math.round(left), top: Math.round(top), right: Math.round(left + size), bottom: Math.round(top + size)};
}

/* What is known of this part of the plane at other levels. */
function drawUnderlay(tile, box) {
    for (let up = 1; up <= 12 && up <= tile.z; up++) {
        const part = Math.pow(2, up), above = tiles.get(keyOf(tile.z - up, Math.floor(tile.x / part), Math.floor(tile.y / part)));
        if (above && above.image) {
            const size = SIDE / part;   // less than a pixel in the end, which stretches to a colour
            pen.drawImage(above.image, (tile.x % part) * size, (tile.y % part) * size, size, size, box.left, box.top,
                box.right - box.left, box.bottom - box.top);
            break;
        }
    }
    for (let i = 0; i < 4; i++) {
        const below = tiles.get(keyOf(tile.z + 1, tile.x * 2 + i % 2, tile.y * 2 + (i >> 1)));
        if (below && below.image) {
            const part = place(below);
            pen.drawImage(below.image, part.left, part.top, part.right - part.left, part.bottom - part.top);
        }
    }
}

function hatch(box, colour) {
    pen.save();
    pen.beginPath();
    pen.rect(box.left, box.top, box.right - box.left, box.bottom - box.top);
    pen.clip();
    pen.fillStyle = 'rgba(11, 15, 24, .5)';
    pen.fillRect(box.left, box.top, box.right - box.left, box.bottom - box.top);
    pen.strokeStyle = colour;
    pen.globalAlpha = .3;
    pen.lineWidth = 5;
    const size = box.bottom - box.top;
    for (let x = box.left - size; x < box.right; x += 22) {
        pen.beginPath();
        pen.moveTo(x, box.bottom);
        pen.lineTo(x + size, box.top);
        pen.stroke();
    }
    pen.globalAlpha = .9;
    pen.lineWidth = 1;
    pen.strokeRect(box.left + .5, box.top + .5, box.right - box.left - 1, box.bottom - box.top - 1);
    pen.restore();
}

function label(box, title, text, colour) {
    const x = (box.left + box.right) / 2, y = (box.top + box.bottom) / 2;
    pen.textAlign = 'center';
    pen.fillStyle = colour;
    pen.font = '600 26px system-ui, sans-serif';
    pen.fillText(title, x, y);
    pen.font = '12px system-ui, sans-serif';
    pen.fillStyle = '#dfe6f3';
    pen.fillText(text, x, y + 20);
}

function drawTile(tile, now) {
    const box = place(tile), width = box.right - box.left, height = box.bottom - box.top;
    const shade = tile.image ? Math.min(1, (now - tile.shown) / 250) : 0;
    if (shade < 1) {
        drawUnderlay(tile, box);
    }
    if (tile.image) {
        pen.globalAlpha = shade;
        pen.drawImage(tile.image, box.left, box.top, width, height);
        pen.globalAlpha = 1;
        redraw = redraw || shade < 1;
    }
    if (tile.state === 'asked') {
        const beat = .35 + .25 * Math.sin((now - tile.askedAt) / 160);
        pen.strokeStyle = `rgba(63, 184, 175, ${beat})`;
        pen.lineWidth = 2;
        pen.strokeRect(box.left + 3, box.top + 3, width - 6, height - 6);
        redraw = true;
    } else if (tile.state === 'late') {
        hatch(box, '#e5566d');
        label(box, '504', `not done in ${tile.deadline} ms`, '#ff8b9d');
    } else if (tile.state === 'refused') {
        hatch(box, '#c58af0');
        label(box, '503', 'queue full, trying again', '#d9b3f7');
    } else if (tile.state === 'failed') {
        hatch(box, '#8b99b5');
        label(box, 'no answer', 'trying again', '#dfe6f3');
    }
}

function frame(now) {
    const still = !flight && fingers.size === 0;
    fly(now);
    if (redraw && now - drawnAt >= (still ? 45 : 15)) {     // what only pulses may do so slowly
        redraw = false;
        drawnAt = now;
        const ratio = window.devicePixelRatio || 1;
        const width = Math.round(map.clientWidth * ratio), height = Math.round(map.clientHeight * ratio);
        if (map.width !== width || map.height !== height) {
            map.width = width;
            map.height = height;
        }
        pen.setTransform(ratio, 0, 0, ratio, 0, 0);
        pen.fillStyle = '#0b0f18';
        pen.fillRect(0, 0, map.clientWidth, map.clientHeight);
        for (const spot of tilesInView(0)) {
            drawTile(tileAt(spot), now);
        }
        const x = WHOLE.left + view.x * WHOLE.side, y = WHOLE.top - view.y * WHOLE.side, digits = Math.min(15, 3 + Math.round(view.zoom / 3));
        byId('where').textContent = `${x.toFixed(digits)} ${y < 0 ? '-' : '+'} ${Math.abs(y).toFixed(digits)} i    level ${level()}`;
    }
    requestAnimationFrame(frame);
}

/* ---- moving ---- */

function zoomAt(pixelX, pixelY, by) {
    const before = SIDE * Math.pow(2, view.zoom);
    const dx = pixelX - map.clientWidth / 2, dy = pixelY - map.clientHeight / 2;
    view.zoom = Math.max(0, Math.min(DEEPEST, view.zoom + by));
    const after = SIDE * Math.pow(2, view.zoom);
    view.x += dx / before - dx / after;
    view.y += dy / before - dy / after;
    keepInside();
    moved();
}

function keepInside() {
    view.x = Math.max(0, Math.min(1, view.x));
    view.y = Math.max(0, Math.min(1, view.y));
}

function panBy(dx, dy) {
    const scale = SIDE * Math.pow(2, view.zoom);
    view.x -= dx / scale;
    view.y -= dy / scale;
    keepInside();
    moved();
}

/* A journey: out, across and in again. */
function flyTo(x, y, zoom) {
    flight = {from: {...view}, to: {x, y, zoom}, begun: performance.now(), lasts: 5200, lowest: Math.min(view.zoom, zoom, 2.5)};
}

function fly(now) {
    if (!flight) {
        return;
    }
    const t = Math.min(1, (now - flight.begun) / flight.lasts), ease = (s) => s * s * (3 - 2 * s);
    const {from, to, lowest} = flight;
    const out = ease(Math.min(1, t / .3)), across = ease(Math.max(0, Math.min(1, (t - .22) / .16))), into = ease(Math.max(0, (t - .35) / .65));
    view.zoom = t < .35 ? from.zoom + (lowest - from.zoom) * out : lowest + (to.zoom - lowest) * into;
    view.x = from.x + (to.x - from.x) * across;
    view.y = from.y + (to.y - from.y) * across;
    moved();
    if (t === 1) {
        flight = null;
    }
}

function tour() {
    const [x, y, zoom] = TOUR[toured++ % TOUR.length];
    flyTo((x - WHOLE.left) / WHOLE.side, (WHOLE.top - y) / WHOLE.side, zoom);
}

const home = () => flyTo(.5, .5, 2);

function remember() {
    history.replaceState(null, '', `#${view.x.toFixed(15)},${view.y.toFixed(15)},${view.zoom.toFixed(2)}`);
}

function recall() {
    const [x, y, zoom] = location.hash.slice(1).split(',').map(Number);
    if (x >= 0 && x <= 1 && y >= 0 && y <= 1 && zoom >= 0 && zoom <= DEEPEST) {
        Object.assign(view, {x, y, zoom});
    } else {
        view.zoom = Math.max(1, Math.log2(Math.min(map.clientWidth, map.clientHeight) / SIDE));
    }
}

function fingerDown(event) {
    flight = null;
    map.setPointerCapture(event.pointerId);
    map.classList.add('dragging');
    fingers.set(event.pointerId, {x: event.offsetX, y: event.offsetY, travelled: 0});
}

function fingerMove(event) {
    const finger = fingers.get(event.pointerId);
    if (!finger) {
        return;
    }
    const dx = event.offsetX - finger.x, dy = event.offsetY - finger.y;
    if (fingers.size === 2) {
        const other = [...fingers.entries()].find(([id]) => id !== event.pointerId)[1];
        const before = Math.hypot(finger.x - other.x, finger.y - other.y), after = Math.hypot(event.offsetX - other.x, event.offsetY - other.y);
        zoomAt((finger.x + other.x) / 2, (finger.y + other.y) / 2, Math.log2(Math.max(1, after) / Math.max(1, before)));
    } else {
        panBy(dx, dy);
    }
    Object.assign(finger, {x: event.offsetX, y: event.offsetY, travelled: finger.travelled + Math.abs(dx) + Math.abs(dy)});
}

function fingerUp(event) {
    const finger = fingers.get(event.pointerId);
    fingers.delete(event.pointerId);
    map.classList.toggle('dragging', fingers.size > 0);
    if (finger && finger.travelled < 4) {
        retry((tile) => { const box = place(tile); return event.offsetX >= box.left && event.offsetX < box.right && event.offsetY >= box.top && event.offsetY < box.bottom; });
    }
}

function retry(which) {
    for (const tile of tiles.values()) {
        if (tile.state === 'late' && which(tile)) {
            tile.state = 'wanted';
        }
    }
    pump();
}

function drawAgain() {
    for (const tile of tiles.values()) {
        if (tile.state === 'asked') {
            drop(tile);
        }
        tile.state = 'wanted';
    }
    pump();
}

map.addEventListener('pointerdown', fingerDown);
map.addEventListener('pointermove', fingerMove);
map.addEventListener('pointerup', fingerUp);
map.addEventListener('pointercancel', fingerUp);
map.addEventListener('dblclick', (event) => zoomAt(event.offsetX, event.offsetY, 1));
map.addEventListener('wheel', (event) => {
    event.preventDefault();
    flight = null;
    zoomAt(event.offsetX, event.offsetY, -Math.max(-120, Math.min(120, event.deltaY)) * .004);
}, {passive: false});
document.addEventListener('keydown', (event) => {
    const moves = {ArrowLeft: [120, 0], ArrowRight: [-120, 0], ArrowUp: [0, 120], ArrowDown: [0, -120]};
    if (event.target.tagName === 'INPUT' || event.ctrlKey || event.metaKey || event.altKey) {
        return;
    }
    if (moves[event.key]) {
        flight = null;
        panBy(...moves[event.key]);
    } else if (event.key === '+' || event.key === '-') {
        zoomAt(map.clientWidth / 2, map.clientHeight / 2, event.key === '+' ? .5 : -.5);
    } else if (event.key === '0') {
        home();
    } else if (event.key === 't') {
        tour();
    }
});
byId('zoom-in').addEventListener('click', () => zoomAt(map.clientWidth / 2, map.clientHeight / 2, 1));
byId('zoom-out').addEventListener('click', () => zoomAt(map.clientWidth / 2, map.clientHeight / 2, -1));
byId('home').addEventListener('click', home);
byId('tour').addEventListener('click', tour);
byId('again').addEventListener('click', drawAgain);
byId('retry').addEventListener('click', () => retry(() => true));
byId('rim').addEventListener('change', pump);
byId('deadline').addEventListener('input', showChoices);
byId('deadline').addEventListener('change', pump);
byId('detail').addEventListener('input', showChoices);
byId('detail').addEventListener('change', drawAgain);
window.addEventListener('resize', moved);
setInterval(() => {
    const now = performance.now();
    if ([...tiles.values()].some((tile) => (tile.state === 'refused' || tile.state === 'failed') && now > tile.until)) {
        pump();
    }
}, 500);

/* How many of the tiles in view are in which state; for tests. */
function tileStates() {
    const states = {};
    for (const spot of tilesInView(0)) {
        const {state} = tileAt(spot);
        states[state] = (states[state] || 0) + 1;
    }
    return states;
}

recall();
showChoices();
pump();
requestAnimationFrame(frame);
