package peer;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/** Collects rows into calls: one is made when it is full or its first row has waited long enough. */
final class Batcher implements AutoCloseable {
    private record Row(float[] features, CompletableFuture<Float> probability) {}

    private final Triton triton;
    private final int maxRows;
    private final long waitMs;
    private final ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor();
    private List<Row> waiting = new ArrayList<>();

    Batcher(Triton triton, int maxRows, long waitMs) {
        this.triton = triton;
        this.maxRows = maxRows;
        this.waitMs = waitMs;
    }

    synchronized CompletableFuture<Float> add(float[] features) {
        Row row = new Row(features, new CompletableFuture<>());
        List<Row> batch = waiting;
        batch.add(row);
        if (batch.size() >= maxRows) {
            send(batch);
        } else if (batch.size() == 1) {
            timer.schedule(() -> send(batch), waitMs, TimeUnit.MILLISECONDS);
        }
        return row.probability;
    }

    private synchronized void send(List<Row> batch) {
        if (batch != waiting) {
            return; // it was full before its time
        }
        waiting = new ArrayList<>();
        triton.score(batch.stream().map(Row::features).toArray(float[][]::new))
                .whenComplete((probabilities, error) -> settle(batch, probabilities, error));
    }

    private static void settle(List<Row> batch, float[] probabilities, Throwable error) {
        for (int i = 0; i < batch.size(); i++) {
            if (error == null) {
                batch.get(i).probability.complete(probabilities[i]);
            } else {
                batch.get(i).probability.completeExceptionally(error);
            }
        }
    }

    @Override
    public void close() {
        timer.shutdownNow();
    }
}
