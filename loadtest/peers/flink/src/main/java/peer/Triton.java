package peer;

import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import peer.inference.GRPCInferenceServiceGrpc;
import peer.inference.GRPCInferenceServiceGrpc.GRPCInferenceServiceStub;
import peer.inference.ModelInferRequest;
import peer.inference.ModelInferRequest.InferInputTensor;
import peer.inference.ModelInferResponse;

/** Calls the model without blocking: one channel, many calls under way on it. */
final class Triton implements AutoCloseable {
    private final String model;
    private final long timeoutMs;
    private final ManagedChannel channel;
    private final GRPCInferenceServiceStub stub;

    Triton(String address, String model, long timeoutMs) {
        this.model = model;
        this.timeoutMs = timeoutMs;
        // Callbacks only hand a result over, so they may run where it arrives.
        channel = ManagedChannelBuilder.forTarget(address).usePlaintext().directExecutor().build();
        stub = GRPCInferenceServiceGrpc.newStub(channel);
    }

    /** The probability of each row. */
    CompletableFuture<float[]> score(float[][] rows) {
        InferInputTensor features = InferInputTensor.newBuilder()
                .setName("features").setDatatype("FP32").addShape(rows.length).addShape(Features.COLUMNS).build();
        ModelInferRequest request = ModelInferRequest.newBuilder()
                .setModelName(model).addInputs(features).addRawInputContents(Tensors.encode(rows)).build();
        Answer answer = new Answer(rows.length);
        stub.withDeadlineAfter(timeoutMs, TimeUnit.MILLISECONDS).modelInfer(request, answer);
        return answer.probabilities;
    }

    /** Whether a call failed because there was no server (any more), and is worth another try. */
    static boolean isAway(Throwable error) {
        Status status = Status.fromThrowable(error);
        return status.getCode() == Status.Code.UNAVAILABLE || status.getCause() instanceof IOException;
    }

    @Override
    public void close() {
        channel.shutdownNow();
    }

    private record Answer(int rows, CompletableFuture<float[]> probabilities)
            implements StreamObserver<ModelInferResponse> {
        Answer(int rows) {
            this(rows, new CompletableFuture<>());
        }

        @Override
        public void onNext(ModelInferResponse response) {
            float[] values = response.getRawOutputContentsCount() == 1
                    ? Tensors.decode(response.getRawOutputContents(0)) : new float[0];
            if (values.length == rows) {
                probabilities.complete(values);
            } else {
                onError(new IllegalStateException("Triton gave " + values.length + " values for " + rows + " rows"));
            }
        }

        @Override
        public void onError(Throwable error) {
            probabilities.completeExceptionally(error);
        }

        @Override
        public void onCompleted() {
            // A unary call: its value came before.
        }
    }
}
