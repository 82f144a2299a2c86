package peer;

import java.io.IOException;
import java.util.List;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.streaming.api.functions.async.ResultFuture;
import org.apache.flink.streaming.api.functions.async.RichAsyncFunction;

/** Decode, features, model, outcome. Only the model takes time, and nothing waits for it here. */
final class Scoring extends RichAsyncFunction<Message, Message> {
    private static final long serialVersionUID = 1;

    private final String address;
    private final String model;
    private final Options options;
    private transient Triton triton;
    private transient Batcher batcher;

    Scoring(String address, String model, Options options) {
        this.address = address;
        this.model = model;
        this.options = options;
    }

    @Override
    public void open(OpenContext context) {
        triton = new Triton(address, model, options.timeout_ms);
        batcher = new Batcher(triton, options.batch_rows, options.batch_wait_ms);
    }

    @Override
    public void asyncInvoke(Message message, ResultFuture<Message> result) throws IOException {
        Transaction transaction = Transaction.read(message.value);
        batcher.add(Features.of(transaction)).whenComplete((probability, error) -> {
            if (error == null) {
                result.complete(List.of(message.with(Outcome.encode(transaction.id, probability))));
            } else {
                result.completeExceptionally(error);
            }
        });
    }

    @Override
    public void close() {
        if (batcher != null) {
            batcher.close();
            triton.close();
        }
    }
}
