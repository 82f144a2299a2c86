package peer;

import com.google.gson.Gson;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.Serializable;
import java.util.Arrays;
import java.util.List;
import java.util.TreeSet;

/** The knobs of LOADTEST_OPTIONS, with the best of the grid as defaults. */
final class Options implements Serializable {
    private static final long serialVersionUID = 1;

    /** Subtasks of the job; each has its own reader, client and writer. */
    int parallelism = 1;

    /** Records a subtask may have under way; Flink's async operator takes no more. */
    int capacity = 1_000;

    /** Whether outcomes leave in input order (orderedWait) or as they come (unorderedWait). */
    boolean ordered = false;

    /** Rows of a call to Triton. 1 is Flink's own way; more are collected inside the async function. */
    int batch_rows = 64;

    /** How long a batch may wait for more rows. */
    long batch_wait_ms = 2;

    /** linger.ms of the producer. */
    int linger_ms = 0;

    int checkpoint_ms = 1_000;

    /** How long a record may be under way, retries included; after that Flink fails and restarts the job. */
    long timeout_ms = 10_000;

    static Options parse(String json) {
        JsonObject given = JsonParser.parseString(json).getAsJsonObject();
        List<String> known = Arrays.stream(Options.class.getDeclaredFields()).map(f -> f.getName()).toList();
        TreeSet<String> unknown = new TreeSet<>(given.keySet());
        known.forEach(unknown::remove);
        if (!unknown.isEmpty()) {
            throw new IllegalArgumentException("LOADTEST_OPTIONS: unknown " + unknown + ", known are " + known);
        }
        return new Gson().fromJson(given, Options.class);
    }
}
