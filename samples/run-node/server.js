// An HTTP server on the port that it is told, by the standard library alone.
'use strict';

const http = require('node:http');

const port = Number(process.env.PORT);
if (!Number.isInteger(port) || port < 1) {
  console.error('no port: start it with berth run -port http -- node server.js');
  process.exit(2);
}

const names = ['PORT', 'TCP_PORT', 'CORUS_PROCESS_PORT_HTTP', 'PM2_INSTANCE_ID', 'NODE_APP_INSTANCE', 'GREETING'];

const server = http.createServer((request, response) => {
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  const lines = names.map((name) => `${name}=${process.env[name] ?? ''}`);
  response.end([...lines, `arguments=${process.argv.slice(2).join(' ')}`, `pid=${process.pid}`, ''].join('\n'));
});

server.on('error', (error) => {
  console.error(`port ${port}: ${error.message}`);
  process.exit(1);
});
server.listen(port, '127.0.0.1', () => console.log(`listening on 127.0.0.1:${port}`));

process.on('SIGTERM', () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
