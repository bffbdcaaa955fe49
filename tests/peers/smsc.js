// A message centre for the tests, made of the npm package `smpp`: takes binds, delivers texts, takes replies.
//
//   node smsc.js PORT CONTROL_PORT SYSTEM_ID PASSWORD
//
// A test connects to the control port, writes orders, one JSON object a line, and reads what happens, likewise:
//   {"deliver": {...deliver_sm...}, "hex": "...", "tag": 1}   -> {"event": "answer", "tag": 1, "status": 0}
//   {"raw": "hex"}           these very bytes, on every session
//   {"status": [88, 20, 0]}  what the next submit_sm are answered; then 0 again
//   {"mute": true}           submit_sm are not answered at all
//   {"drop": true}           all sessions are cut
'use strict';
const net = require('net');
const smpp = require('smpp');

const [port, control, systemId, password] = process.argv.slice(2);
const sessions = new Set();
let statuses = [];
let mute = false;
let tester = null;
let waiting = [];

function tell(event) {
  const line = JSON.stringify(event) + '\n';
  if (tester) tester.write(line); else waiting.push(line);
}

const server = smpp.createServer({}, (session) => {
  const bind = (way) => (pdu) => {
    const good = pdu.system_id === systemId && pdu.password === password;
    tell({ event: good ? 'bound' : 'refused', way, version: pdu.interface_version });
    session.send(pdu.response({ command_status: good ? 0 : smpp.ESME_RINVPASWD, system_id: 'smsc' }));
    if (good) { session.way = way; sessions.add(session); }
  };
  session.on('bind_transceiver', bind('both'));
  session.on('bind_receiver', bind('in'));
  session.on('bind_transmitter', bind('out'));
  session.on('enquire_link', (pdu) => { tell({ event: 'enquire_link' }); session.send(pdu.response()); });
  session.on('unbind', (pdu) => { tell({ event: 'unbind' }); session.send(pdu.response()); session.close(); });
  session.on('submit_sm', (pdu) => {
    const status = statuses.length ? statuses.shift() : 0;
    tell({
      event: 'submit', status, from: pdu.source_addr, from_ton: pdu.source_addr_ton, to: pdu.destination_addr,
      to_ton: pdu.dest_addr_ton, coding: pdu.data_coding, esm_class: pdu.esm_class, hex: (pdu.raw || Buffer.alloc(0)).toString('hex'),
    });
    if (!mute) session.send(pdu.response({ command_status: status, message_id: status ? '' : 'm-1' }));
  });
  session.on('close', () => { sessions.delete(session); tell({ event: 'closed' }); });
  session.on('error', () => sessions.delete(session));
});

// The library decodes texts by its own mind; the tests want the bytes.
smpp.filters.message.decode = function (value) {
  this.raw = Buffer.isBuffer(value) ? value : Buffer.alloc(0);
  return { message: this.raw };
};

function deliver(order) {
  const session = [...sessions].find((one) => one.way !== 'out');
  if (!session) return tell({ event: 'answer', tag: order.tag, status: -1 });
  const message = Buffer.from(order.hex, 'hex');
  const fields = Object.assign({ source_addr_ton: 1, source_addr_npi: 1, dest_addr_ton: 3 }, order.deliver);
  if (order.payload) fields.message_payload = { message }; else fields.short_message = { message };
  session.deliver_sm(fields, (pdu) => tell({ event: 'answer', tag: order.tag, status: pdu.command_status }));
}

function obey(order) {
  if (order.deliver) deliver(order);
  if (order.raw) for (const session of sessions) session.socket.write(Buffer.from(order.raw, 'hex'));
  if (order.ask) for (const session of sessions) session.enquire_link({}, () => tell({ event: 'alive' }));
  if (order.status) statuses = order.status;
  if (order.mute !== undefined) mute = order.mute;
  if (order.drop) for (const session of sessions) session.socket.destroy();
}

net.createServer((socket) => {
  tester = socket;
  for (const line of waiting) socket.write(line);
  waiting = [];
  let rest = '';
  socket.on('data', (data) => {
    const lines = (rest + data).split('\n');
    rest = lines.pop();
    for (const line of lines) if (line) obey(JSON.parse(line));
  });
  socket.on('error', () => {});
  socket.on('close', () => { if (tester === socket) tester = null; });
}).listen(Number(control), '127.0.0.1');

server.listen(Number(port), '127.0.0.1');
