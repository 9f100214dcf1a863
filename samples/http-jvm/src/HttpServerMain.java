import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.management.ManagementFactory;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.TreeSet;

/**
 * A program to be started by Berth: an HTTP server on the port that it is told.
 * Berth tells it as a system property of its own, corus.process.port.http, and
 * as http.port, which the descriptor sets to ${corus.server.port.http}.
 *
 * The page / shows both; /properties shows the corus.* and http.* properties,
 * the arguments, and the arguments of the JVM itself.
 */
public class HttpServerMain {

    public static void main(String[] args) throws IOException {
        String leased = System.getProperty("corus.process.port.http");
        String own = System.getProperty("http.port");
        if (leased == null || !leased.equals(own)) {
            System.err.println("corus.process.port.http is " + leased + " and http.port " + own
                    + ": both have to be the port; start it with berth exec");
            System.exit(2);
        }
        InetSocketAddress address = new InetSocketAddress(InetAddress.getLoopbackAddress(), Integer.parseInt(leased));
        HttpServer server = HttpServer.create(address, 0);
        server.createContext("/", exchange -> answer(exchange, page(leased, own)));
        server.createContext("/properties", exchange -> answer(exchange, properties(args)));
        server.start();
        System.out.println("listening on " + server.getAddress());
    }

    private static String page(String leased, String own) {
        return "corus.process.port.http=" + leased + "\n"
                + "http.port=" + own + "\n"
                + "process=" + System.getenv("BERTH_PROCESS_ID") + "\n"
                + "pid=" + ProcessHandle.current().pid() + "\n";
    }

    private static String properties(String[] args) {
        StringBuilder text = new StringBuilder();
        for (String name : new TreeSet<>(System.getProperties().stringPropertyNames())) {
            if (name.startsWith("corus.") || name.startsWith("http.")) {
                text.append("property ").append(name).append('=').append(System.getProperty(name)).append('\n');
            }
        }
        for (String arg : args) {
            text.append("argument ").append(arg).append('\n');
        }
        for (String arg : ManagementFactory.getRuntimeMXBean().getInputArguments()) {
            text.append("input ").append(arg).append('\n');
        }
        return text.toString();
    }

    private static void answer(HttpExchange exchange, String text) throws IOException {
        byte[] body = text.getBytes(StandardCharsets.UTF_8);
        exchange.getResponseHeaders().set("Content-Type", "text/plain; charset=utf-8");
        exchange.sendResponseHeaders(200, body.length);
        try (OutputStream out = exchange.getResponseBody()) {
            out.write(body);
        }
        exchange.close();
    }
}
