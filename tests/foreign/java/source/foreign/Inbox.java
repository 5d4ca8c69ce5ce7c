package foreign;

import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** What a client heard and nobody has taken yet. */
final class Inbox {
    /** Far more than a busy machine needs. */
    static final int PATIENCE_SECONDS = 30;

    private final LinkedBlockingQueue<Party.Message> messages = new LinkedBlockingQueue<>();

    void put(Party.Message message) {
        messages.add(message);
    }

    Party.Message take() throws InterruptedException {
        Party.Message message = messages.poll(PATIENCE_SECONDS, TimeUnit.SECONDS);
        if (message == null) throw new IllegalStateException("waited in vain for a message");
        return message;
    }
}
