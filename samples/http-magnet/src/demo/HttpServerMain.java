package demo;

import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.management.ManagementFactory;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;

/** An HTTP server on the port http.port; its page shows how it was started. */
public class HttpServerMain {

    public static void main(String[] args) throws IOException {
        int port = Integer.parseInt(System.getProperty("http.port"));
        StringBuilder page = new StringBuilder();
        for (String name : new String[] {"http.port", "corus.process.port.http", "corus.server.port.http", "page.title"}) {
            page.append(name).append('=').append(System.getProperty(name)).append('\n');
        }
        page.append("process=").append(System.getenv("BERTH_PROCESS_ID")).append('\n');
        page.append("pid=").append(ProcessHandle.current().pid()).append('\n');
        for (String arg : args) {
            page.append("argument ").append(arg).append('\n');
        }
        for (String arg : ManagementFactory.getRuntimeMXBean().getInputArguments()) {
            page.append("input ").append(arg).append('\n');
        }
        byte[] body = page.toString().getBytes(StandardCharsets.UTF_8);
        HttpServer server = HttpServer.create(new InetSocketAddress(args[0], port), 0);
        server.createContext("/", exchange -> {
            exchange.getResponseHeaders().set("Content-Type", "text/plain; charset=utf-8");
            exchange.sendResponseHeaders(200, body.length);
            try (OutputStream out = exchange.getResponseBody()) {
                out.write(body);
            }
            exchange.close();
        });
        server.start();
        System.out.println("listening on " + server.getAddress());
    }
}
