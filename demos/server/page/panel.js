/* panel.js: the side panel. Asks the server for its counters four times a second and draws what the workers do.
 *
 * Times are microseconds since the server's start. The lanes are drawn a little behind the latest answer, so that they
 * move evenly though the answers come in steps. */
const EVERY = 250, WINDOW = 8e6, BEHIND = 450e3, LANE = 24, RECENT = 10e6, FRAME = 40;

const lanesCanvas = document.getElementById('lanes'), waitsCanvas = document.getElementById('waits');
const style = getComputedStyle(document.documentElement);
const colours = Object.fromEntries(['run', 'steal', 'stop', 'search', 'park', 'dim', 'text', 'line'].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
const lanes = [];               // one a worker: {spans, parked, latest}
const snapshots = [];           // of the last 10 seconds, oldest first
let serverNow = 0, receivedAt = 0, drawnAt = 0;

/* ---- asking ---- */

function takeLane(lane) {
    const kept = lanes[lane.worker] || (lanes[lane.worker] = {spans: []});
    for (const [begin, end, job, flags] of lane.spans) {
        const known = kept.spans.findLast((span) => span.begin === begin);
        if (known) {
            Object.assign(known, {end, flags});
        } else {
            kept.spans.push({begin, end, job, flags});
        }
    }
    kept.spans = kept.spans.filter((span) => span.end === 0 || span.end > serverNow - WINDOW - 1e6);
    kept.parked = lane.parked;
    kept.known = serverNow;
}

function show(stats) {
    const set = (id, value) => { document.getElementById(id).textContent = value.toLocaleString('en'); };
    set('pending', stats.jobs.queued);
    set('running', stats.jobs.running);
    set('drawn', stats.tiles.drawn);
    set('left', stats.tiles.left);
    set('late', stats.tiles.late);
    set('refused', stats.tiles.refused);

    const oldest = snapshots[0], seconds = (stats.now - oldest.now) / 1e6;
    if (seconds > .5) {
        const rate = (stats.tiles.drawn - oldest.tiles.drawn) / seconds;
        document.getElementById('rate').textContent = `${rate.toFixed(1)} tiles/s`;
    }
    showWorkers(stats);
    showWaits(stats.waits.map((count, i) => count - oldest.waits[i]));
}

/* Busy: the part of the last seconds that the lane's spans cover. */
function busyShare(worker) {
    const from = Math.max(0, serverNow - WINDOW);
    let busy = 0;
    for (const span of lanes[worker].spans) {
        busy += Math.max(0, (span.end || serverNow) - Math.max(from, span.begin));
    }
    return Math.min(1, busy / Math.max(1, serverNow - from));
}

function showWorkers(stats) {
    const rows = stats.lanes.map((lane) => {
        const row = document.createElement('tr');
        for (const text of [lane.worker < stats.workers ? lane.worker : `${lane.worker}, a spare`, `${Math.round(100 * busyShare(lane.worker))} %`, lane.stolen.toLocaleString('en'), lane.parks.toLocaleString('en')]) {
            row.insertCell().textContent = text;
        }
        return row;
    });
    document.getElementById('workers').replaceChildren(...rows);
}

async function poll() {
    const alive = document.getElementById('alive');
    if (!document.hidden) {
        try {
            const reply = await fetch(`stats?since=${Math.max(0, serverNow - 1)}`, {cache: 'no-store', priority: 'high'});
            if (!reply.ok) {
                throw new Error(`status ${reply.status}`);
            }
            const stats = await reply.json();
            if (stats.now < serverNow) {
                lanes.length = snapshots.length = 0;    // another server
            }
            serverNow = stats.now;
            receivedAt = performance.now();
            snapshots.push(stats);
            while (snapshots.length > 2 && snapshots[0].now < serverNow - RECENT) {
                snapshots.shift();
            }
            stats.lanes.forEach(takeLane);
            show(stats);
            alive.textContent = `${stats.workers} worker${stats.workers === 1 ? '' : 's'}, ${stats.http.connections} connection${stats.http.connections === 1 ? '' : 's'}`;
            alive.classList.remove('lost');
        } catch (error) {
            alive.textContent = 'no answer';
            alive.classList.add('lost');
        }
    }
    setTimeout(poll, EVERY);
}

/* ---- drawing ---- */

function openPen(canvas, height) {
    const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
        canvas.style.height = `${height}px`;
        canvas.width = Math.round(width * ratio);
        canvas.height = Math.round(height * ratio);
    }
    const pen = canvas.getContext('2d');
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    return pen;
}

function drawLane(pen, lane, top, toX, from, to) {
    let last = from;
    const bar = (begin, end, colour, inset) => {
        const left = toX(Math.max(from, begin)), right = toX(Math.min(to, end));
        if (right > left) {
            pen.fillStyle = colour;
            pen.fillRect(left, top + inset, Math.max(right - left, .7), LANE - 6 - 2 * inset);
        }
    };
    for (const span of lane.spans) {
        const end = span.end || to, stopped = span.flags & 4;
        if (end >= from && span.begin <= to) {
            bar(last, span.begin, span.flags & 2 ? colours.park : colours.search, span.flags & 2 ? 4 : 8);
            pen.globalAlpha = span.job % 2 ? 1 : .76;   // so that jobs that follow one another can be told apart
            bar(span.begin, end, span.flags & 1 ? colours.steal : colours.run, 0);
            pen.globalAlpha = 1;
            if (stopped) {
                bar(Math.max(span.begin, end - 60e3), end, colours.stop, 0);
            }
        }
        last = Math.max(last, end);
    }
    bar(last, to, lane.parked ? colours.park : colours.search, lane.parked ? 4 : 8);
}

/* Some 25 pictures a second: on a machine without a graphics card the drawing would take CPUs from the workers. */
function drawLanes(now) {
    requestAnimationFrame(drawLanes);
    if (now - drawnAt < FRAME) {
        return;
    }
    drawnAt = now;
    const height = Math.max(1, lanes.length) * LANE + 18, pen = openPen(lanesCanvas, height), width = lanesCanvas.clientWidth;
    const to = serverNow + Math.min(1500, performance.now() - receivedAt) * 1000 - BEHIND, from = to - WINDOW;
    const toX = (time) => 22 + (time - from) / WINDOW * (width - 28);
    pen.font = '11px system-ui, sans-serif';
    for (let second = Math.ceil(from / 1e6); second * 1e6 < to; second++) {
        pen.fillStyle = colours.line;
        pen.fillRect(toX(second * 1e6), 0, 1, height - 14);
        pen.fillStyle = colours.dim;
        if (second >= 0 && second % 2 === 0) {
            pen.fillText(`${second} s`, toX(second * 1e6) - 8, height - 3);
        }
    }
    lanes.forEach((lane, worker) => {
        pen.fillStyle = colours.dim;
        pen.fillText(worker, 7, worker * LANE + 17);
        drawLane(pen, lane, worker * LANE + 4, toX, from, to);
    });
}

/* ---- how long jobs waited ---- */

const nameOf = (us) => us < 1000 ? `${us.toFixed(0)} µs` : us < 1e6 ? `${(us / 1000).toFixed(us < 1e4 ? 1 : 0)} ms` : `${(us / 1e6).toFixed(1)} s`;

/* The time that the given share of the jobs did not wait longer than; bucket k ends at 2^(k+10) ns. */
function quantile(counts, total, share) {
    let below = 0;
    for (let i = 0; i < counts.length; i++) {
        below += counts[i];
        if (below >= share * total) {
            return nameOf(Math.pow(2, i + 10) / 1000);
        }
    }
    return '';
}

function showWaits(counts) {
    const height = 58, pen = openPen(waitsCanvas, height), total = counts.reduce((a, b) => a + b, 0), most = Math.max(...counts, 1);
    const width = waitsCanvas.clientWidth, step = (width - 16) / counts.length;
    document.getElementById('wait').textContent = total > 0
        ? `half < ${quantile(counts, total, .5)}, 95 % < ${quantile(counts, total, .95)}` : 'nothing in the last 10 s';
    pen.font = '10px system-ui, sans-serif';
    counts.forEach((count, i) => {
        const tall = count > 0 ? Math.max(2, count / most * (height - 24)) : 0;
        pen.fillStyle = colours.run;
        pen.fillRect(8 + i * step + 1, height - 16 - tall, step - 2, tall);
        if (i % 5 === 0) {
            pen.fillStyle = colours.dim;
            pen.fillText(nameOf(Math.pow(2, i + 10) / 1000), 8 + i * step, height - 4);
        }
    });
    pen.fillStyle = colours.line;
    pen.fillRect(8, height - 16, width - 16, 1);
}

poll();
requestAnimationFrame(drawLanes);
