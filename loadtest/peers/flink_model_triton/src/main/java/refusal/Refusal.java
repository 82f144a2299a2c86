package refusal;

import java.util.Collections;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.types.Row;
import org.apache.flink.util.CloseableIterator;

/** Flink's own Triton model provider, asked in SQL to score one row. Prints the row, or why there is none. */
final class Refusal {
    private static final int COLUMNS = 41;

    private Refusal() {}

    public static void main(String[] args) {
        try {
            System.out.println(score(args[0]));
        } catch (Exception error) {
            for (Throwable cause = error; cause != null; cause = cause.getCause()) {
                System.out.println(String.valueOf(cause.getMessage()).lines().findFirst().orElse(""));
            }
            System.exit(1);
        }
        System.exit(0);
    }

    private static Row score(String endpoint) throws Exception {
        TableEnvironment env = TableEnvironment.create(EnvironmentSettings.inStreamingMode());
        env.executeSql("CREATE MODEL fraud INPUT (features ARRAY<FLOAT>) OUTPUT (probability ARRAY<FLOAT>) WITH ("
                + "'provider' = 'triton', 'model-name' = 'fraud', 'endpoint' = '" + endpoint + "')");
        String zeros = String.join(", ", Collections.nCopies(COLUMNS, "CAST(0 AS FLOAT)"));
        env.executeSql("CREATE TEMPORARY VIEW events AS SELECT * FROM (VALUES (ARRAY[" + zeros + "])) AS t (features)");
        String query = "SELECT * FROM ML_PREDICT(TABLE events, MODEL fraud, DESCRIPTOR(features))";
        try (CloseableIterator<Row> rows = env.executeSql(query).collect()) {
            return rows.next();
        }
    }
}
