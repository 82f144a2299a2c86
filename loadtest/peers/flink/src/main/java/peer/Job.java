package peer;

import java.io.Serializable;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.CoreOptions;
import org.apache.flink.configuration.PipelineOptions;
import org.apache.flink.configuration.WebOptions;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.streaming.api.datastream.AsyncDataStream;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.async.AsyncRetryStrategy;
import org.apache.flink.streaming.util.retryable.AsyncRetryStrategies;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.OffsetResetStrategy;

/** The job: Kafka source, async I/O, Kafka sink; one chain of operators, so that records are handed over as objects. */
final class Job {
    private static final long RETRY_MS = 100;

    private Job() {}

    static StreamExecutionEnvironment build(Contract contract, Path folder) {
        Options options = contract.options();
        StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment(settings(options, folder));
        DataStream<Message> events = env.fromSource(source(contract), WatermarkStrategy.noWatermarks(), "events");
        scored(events, contract).sinkTo(sink(contract));
        return env;
    }

    private static Configuration settings(Options options, Path folder) {
        Configuration settings = new Configuration();
        settings.set(CoreOptions.DEFAULT_PARALLELISM, options.parallelism);
        settings.set(CoreOptions.TMP_DIRS, folder.toString());
        settings.set(WebOptions.TMP_DIR, folder.toString());
        settings.set(CheckpointingOptions.CHECKPOINTING_INTERVAL, Duration.ofMillis(options.checkpoint_ms));
        settings.set(PipelineOptions.OBJECT_REUSE, true);
        settings.set(PipelineOptions.GENERIC_TYPES, false);
        return settings;
    }

    private static KafkaSource<Message> source(Contract contract) {
        return KafkaSource.<Message>builder()
                .setBootstrapServers(contract.kafka())
                .setTopics(contract.input())
                .setGroupId(contract.group())
                .setStartingOffsets(OffsetsInitializer.committedOffsets(OffsetResetStrategy.EARLIEST))
                .setDeserializer(new Reading())
                .setProperty("metric.reporters", Assigned.class.getName())
                .build();
    }

    private static DataStream<Message> scored(DataStream<Message> events, Contract contract) {
        Options options = contract.options();
        Scoring scoring = new Scoring(contract.triton(), contract.model(), options);
        AsyncRetryStrategy<Message> retry = new AsyncRetryStrategies.FixedDelayRetryStrategyBuilder<Message>(
                        (int) (options.timeout_ms / RETRY_MS), RETRY_MS)
                .ifException((Predicate<Throwable> & Serializable) Triton::isAway)
                .build();
        return options.ordered
                ? AsyncDataStream.orderedWaitWithRetry(
                        events, scoring, options.timeout_ms, TimeUnit.MILLISECONDS, options.capacity, retry)
                : AsyncDataStream.unorderedWaitWithRetry(
                        events, scoring, options.timeout_ms, TimeUnit.MILLISECONDS, options.capacity, retry);
    }

    private static KafkaSink<Message> sink(Contract contract) {
        String topic = contract.output();
        KafkaRecordSerializationSchema<Message> writing = (message, context, timestamp) -> message.to(topic, timestamp);
        return KafkaSink.<Message>builder()
                .setBootstrapServers(contract.kafka())
                .setDeliveryGuarantee(DeliveryGuarantee.AT_LEAST_ONCE)
                .setRecordSerializer(writing)
                .setProperty("acks", "all")
                .setProperty("linger.ms", Integer.toString(contract.options().linger_ms))
                .build();
    }

    private static final class Reading implements KafkaRecordDeserializationSchema<Message> {
        private static final long serialVersionUID = 1;

        @Override
        public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<Message> out) {
            out.collect(Message.of(record));
        }

        @Override
        public TypeInformation<Message> getProducedType() {
            return TypeInformation.of(Message.class);
        }
    }
}
