package peer;

import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.kafka.common.metrics.KafkaMetric;
import org.apache.kafka.common.metrics.MetricsReporter;

/** Tells how many partitions the consumers of this JVM have. Flink itself says only that the job runs. */
public final class Assigned implements MetricsReporter {
    private static final Set<KafkaMetric> METRICS = ConcurrentHashMap.newKeySet();

    static int partitions() {
        return METRICS.stream().mapToInt(metric -> ((Number) metric.metricValue()).intValue()).sum();
    }

    @Override
    public void configure(Map<String, ?> settings) {}

    @Override
    public void init(List<KafkaMetric> metrics) {
        metrics.forEach(this::metricChange);
    }

    @Override
    public void metricChange(KafkaMetric metric) {
        if (metric.metricName().name().equals("assigned-partitions")) {
            METRICS.add(metric);
        }
    }

    @Override
    public void metricRemoval(KafkaMetric metric) {
        METRICS.remove(metric);
    }

    @Override
    public void close() {}
}
