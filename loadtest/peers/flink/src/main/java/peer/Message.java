package peer;

import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;

/** A record on its way through the job: a POJO in Flink's sense, since what is under way is part of a checkpoint. */
public final class Message {
    public byte[] key;
    public byte[] value;
    public String[] headerNames;
    public byte[][] headerValues;

    public static Message of(ConsumerRecord<byte[], byte[]> record) {
        Header[] headers = record.headers().toArray();
        Message message = new Message();
        message.key = record.key();
        message.value = record.value();
        message.headerNames = new String[headers.length];
        message.headerValues = new byte[headers.length][];
        for (int i = 0; i < headers.length; i++) {
            message.headerNames[i] = headers[i].key();
            message.headerValues[i] = headers[i].value();
        }
        return message;
    }

    /** The same key and headers with another value. */
    public Message with(byte[] newValue) {
        Message message = new Message();
        message.key = key;
        message.value = newValue;
        message.headerNames = headerNames;
        message.headerValues = headerValues;
        return message;
    }

    public ProducerRecord<byte[], byte[]> to(String topic, Long timestamp) {
        ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(topic, null, timestamp, key, value);
        for (int i = 0; i < headerNames.length; i++) {
            record.headers().add(headerNames[i], headerValues[i]);
        }
        return record;
    }
}
