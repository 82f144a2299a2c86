package peer;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.commons.lang3.exception.ExceptionUtils;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.core.execution.SavepointFormatType;
import org.apache.flink.util.FileUtils;
import org.apache.kafka.clients.admin.Admin;
import sun.misc.Signal;

/** Runs the job in a mini-cluster in this JVM until SIGTERM, then stops it the documented way, with a savepoint. */
final class Peer {
    private static final long STOP_SECONDS = 8;
    private static final long POLL_MS = 20;

    private Peer() {}

    public static void main(String[] args) {
        try {
            run(Contract.fromEnvironment());
            exit(0);
        } catch (Exception error) {
            System.err.println("flink: error: " + error + ", since " + ExceptionUtils.getRootCause(error));
            exit(1);
        }
    }

    private static void run(Contract contract) throws Exception {
        CompletableFuture<Void> stop = new CompletableFuture<>();
        // A shutdown hook would run beside Flink's own, which take down what the savepoint needs.
        Signal.handle(new Signal("TERM"), signal -> stop.complete(null));
        Path folder = Files.createTempDirectory("flink-peer-");
        try {
            runUntil(stop, contract, folder);
        } finally {
            FileUtils.deleteDirectoryQuietly(folder.toFile());
        }
    }

    private static void runUntil(CompletableFuture<Void> stop, Contract contract, Path folder) throws Exception {
        int partitions = partitions(contract);
        JobClient job = Job.build(contract, folder).executeAsync("fraud");
        CompletableFuture<?> end = CompletableFuture.anyOf(stop, job.getJobExecutionResult());
        while (!end.isDone() && Assigned.partitions() < partitions) {
            Thread.sleep(POLL_MS);
        }
        if (!end.isDone()) {
            System.out.println("ready");
        }
        end.get();
        stop(job, folder.resolve("savepoint"));
    }

    private static int partitions(Contract contract) throws ExecutionException, InterruptedException {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", contract.kafka()))) {
            return admin.describeTopics(List.of(contract.input())).allTopicNames().get()
                    .get(contract.input()).partitions().size();
        }
    }

    private static void stop(JobClient job, Path savepoint) throws InterruptedException {
        try {
            job.stopWithSavepoint(false, savepoint.toUri().toString(), SavepointFormatType.CANONICAL)
                    .get(STOP_SECONDS, TimeUnit.SECONDS);
        } catch (ExecutionException | TimeoutException error) {
            System.err.println("flink: no savepoint, what is not committed will be repeated: " + error);
        }
    }

    /** Without the hooks of Flink, which wait for threads that have nothing left to do. */
    private static void exit(int code) {
        System.out.flush();
        Runtime.getRuntime().halt(code);
    }
}
