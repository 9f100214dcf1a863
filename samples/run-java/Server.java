import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;

/** An HTTP server on the port that it is told, by the standard library alone. */
public class Server {

    public static void main(String[] args) throws IOException {
        Integer port = Integer.getInteger("corus.server.port.http");
        if (port == null) {
            System.err.println("no port: start it with berth run -port http -- java Server.java");
            System.exit(2);
        }
        StringBuilder page = new StringBuilder();
        for (String name : new String[] {"corus.server.port.http", "corus.process.port.http"}) {
            page.append(name).append('=').append(System.getProperty(name)).append('\n');
        }
        for (String name : new String[] {"PORT", "PM2_INSTANCE_ID", "GREETING"}) {
            String value = System.getenv(name);
            page.append(name).append('=').append(value == null ? "" : value).append('\n');
        }
        page.append("arguments=").append(String.join(" ", args)).append('\n');
        page.append("pid=").append(ProcessHandle.current().pid()).append('\n');
        byte[] body = page.toString().getBytes(StandardCharsets.UTF_8);

        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 0);
        server.createContext("/", exchange -> {
            exchange.getResponseHeaders().set("Content-Type", "text/plain; charset=utf-8");
            exchange.sendResponseHeaders(200, body.length);
            try (OutputStream out = exchange.getResponseBody()) {
                out.write(body);
            }
        });
        server.start();
        System.out.println("listening on 127.0.0.1:" + port);
    }
}
