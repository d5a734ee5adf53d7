// The same fan-out by `ws`: once a tick another text for each socket. Called by `bench fan-out` with a port.
import { WebSocketServer } from "ws";

const TICK_MS = 1000;
const FRONT = 3000;

const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]), backlog: 4096 });
const sockets = [];
server.on("connection", (socket) => {
  socket.on("error", () => {});
  sockets.push(socket);
});

let ticks = 0;
setInterval(() => {
  ticks += 1;
  sockets.forEach((socket, nth) => {
    if (socket.readyState !== 1) return;
    const position = FRONT + nth + 1 - ticks;
    socket.send(
      JSON.stringify({
        type: "position",
        position,
        ahead: position - 1,
        waiting: FRONT + sockets.length - ticks,
        eta_seconds: position,
        eta_low_seconds: Math.floor((position * 5) / 12),
        eta_high_seconds: Math.floor((position * 5) / 2),
      }),
    );
  });
}, TICK_MS);
