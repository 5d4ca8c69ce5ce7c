package foreign;

import foreign.Party.Hello;
import foreign.Party.Library;
import foreign.Party.Message;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.TimeUnit;

/**
 * The checks of Java's clients: one line each.
 *
 * <p>Usage: java -jar foreign.jar HOST PORT
 */
public final class Main {
    private static final Map<String, Library> LIBRARIES = new LinkedHashMap<>();

    static {
        LIBRARIES.put("Paho Java 3.1.1", Paho3::new);
        LIBRARIES.put("Paho Java 5", Paho5::new);
        LIBRARIES.put("HiveMQ client 3.1.1", Hive3::new);
        LIBRARIES.put("HiveMQ client 5", Hive5::new);
    }

    /** One library against the broker. */
    private record Checks(String name, Library library, String host, int port) {
        Party connect(String id, boolean lasting, String willTopic) throws Exception {
            return library.connect(host, port, new Hello(id, lasting, willTopic));
        }

        /** Keeps this run's topics and identifiers apart from those of others. */
        String own(String what) {
            return "java-" + ProcessHandle.current().pid() + "-" + name.replace(' ', '-') + "-" + what;
        }

        void eachQuality() throws Exception {
            Party party = connect(own("quality"), false, null);
            for (int sent = 0; sent < 3; sent++) {
                for (int granted = 0; granted < 3; granted++) {
                    String topic = own("quality") + "/" + sent + granted;
                    party.subscribe(topic, granted);
                    party.publish(topic, "presión", sent, false);
                    Message message = party.take();
                    expect("the payload", message.payload(), "presión");
                    expect("the QoS", message.qos(), Math.min(sent, granted));
                }
            }
            party.leave();
        }

        void willOfAKilledProcess() throws Exception {
            String topic = own("will");
            Party witness = connect(own("witness"), false, null);
            witness.subscribe(topic, 2);
            String classes = System.getProperty("java.class.path");
            var command = List.of(ProcessHandle.current().info().command().orElse("java"), "-cp", classes, "foreign.Main",
                    host, Integer.toString(port), "mortal", name, topic);
            Process mortal = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD).start();
            expect("the mortal's first word", mortal.inputReader().readLine(), "connected");
            mortal.destroyForcibly().waitFor(Inbox.PATIENCE_SECONDS, TimeUnit.SECONDS);
            Message will = witness.take();
            expect("the will", will.payload(), "unexpected exit");
            expect("the will's QoS", will.qos(), 2);
            witness.leave();
        }

        void retainedIsFound() throws Exception {
            String topic = own("retained");
            Party party = connect(own("retaining"), false, null);
            party.publish(topic, "kept", 1, true);
            party.subscribe(topic, 1);
            Message message = party.take();
            expect("the stored message", message.payload(), "kept");
            expect("its flag", message.retained(), true);
            party.publish(topic, "", 1, true);
            party.leave();
        }

        void sessionIsResumed() throws Exception {
            String topic = own("session");
            Party first = connect(own("lasting"), true, null);
            expect("the session at first", first.hasSession(), false);
            first.subscribe(topic, 1);
            first.leave();
            Party publisher = connect(own("publisher"), false, null);
            for (String payload : List.of("one", "two", "three")) publisher.publish(topic, payload, 1, false);
            publisher.leave();
            Party again = connect(own("lasting"), true, null);
            expect("the session afterwards", again.hasSession(), true);
            for (String payload : List.of("one", "two", "three")) expect("the queue", again.take().payload(), payload);
            again.leave();
            connect(own("lasting"), false, null).leave();
        }

        void propertiesArrive() throws Exception {
            String topic = own("properties");
            Party party = connect(own("describing"), false, null);
            party.subscribe(topic, 1);
            party.publishDescribed(topic, "x");
            expect("what arrived", party.take().details(), "text/plain place=home");
            party.leave();
        }
    }

    private interface Body {
        void run() throws Exception;
    }

    private static int failures = 0;

    private static void check(String name, Body body) {
        try {
            body.run();
            System.out.println("ok " + name);
        } catch (Exception error) {
            failures++;
            System.out.println("FAILED " + name + ": " + error);
        }
    }

    static void expect(String what, Object actual, Object expected) {
        if (!Objects.equals(actual, expected)) throw new IllegalStateException(what + " is " + actual + " and not " + expected);
    }

    public static void main(String[] words) throws Exception {
        String host = words[0];
        int port = Integer.parseInt(words[1]);
        if (words.length > 2 && words[2].equals("mortal")) {
            LIBRARIES.get(words[3]).connect(host, port, new Hello("java-mortal-" + ProcessHandle.current().pid(), false, words[4]));
            System.out.println("connected");
            TimeUnit.SECONDS.sleep(Inbox.PATIENCE_SECONDS); // to be killed long before
            return;
        }
        LIBRARIES.forEach((name, library) -> {
            Checks checks = new Checks(name, library, host, port);
            check(name + " each quality", checks::eachQuality);
            check(name + " will of a killed process", checks::willOfAKilledProcess);
            check(name + " retained is found", checks::retainedIsFound);
            check(name + " session is resumed", checks::sessionIsResumed);
            if (name.endsWith(" 5")) check(name + " properties arrive", checks::propertiesArrive);
        });
        System.exit(failures == 0 ? 0 : 1);
    }
}
