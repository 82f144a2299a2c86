package peer;

import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import org.msgpack.core.MessagePack;
import org.msgpack.core.MessageUnpacker;
import org.msgpack.value.ValueType;

/** What the features need of a transaction.v1; other fields are skipped. */
final class Transaction {
    static final List<String> AGGREGATES = List.of(
            "card_count_1d", "card_count_7d", "card_count_30d",
            "card_mean_amount_1d", "card_mean_amount_7d", "card_mean_amount_30d",
            "terminal_count_1d", "terminal_count_7d", "terminal_count_30d",
            "terminal_fraud_share_1d", "terminal_fraud_share_7d", "terminal_fraud_share_30d");

    String id;
    double amount;
    long timestampMs;
    String currency;
    String channel;
    int merchantCategory;
    String country;
    String cardCountry;

    /** In the order of AGGREGATES; NaN where a value is missing. */
    final double[] aggregates = new double[AGGREGATES.size()];

    private Transaction() {
        Arrays.fill(aggregates, Double.NaN);
    }

    static Transaction read(byte[] value) throws IOException {
        try (MessageUnpacker in = MessagePack.newDefaultUnpacker(value)) {
            return read(in);
        }
    }

    static Transaction read(MessageUnpacker in) throws IOException {
        Transaction transaction = new Transaction();
        for (int left = in.unpackMapHeader(); left > 0; left--) {
            String name = in.unpackString();
            if (!in.tryUnpackNil()) {
                transaction.set(name, in);
            }
        }
        return transaction;
    }

    private void set(String name, MessageUnpacker in) throws IOException {
        switch (name) {
            case "transaction_id" -> id = in.unpackString();
            case "amount" -> amount = number(in);
            case "timestamp_ms" -> timestampMs = in.unpackLong();
            case "currency" -> currency = in.unpackString();
            case "channel" -> channel = in.unpackString();
            case "merchant_category" -> merchantCategory = in.unpackInt();
            case "country" -> country = in.unpackString();
            case "card_country" -> cardCountry = in.unpackString();
            case "aggregates" -> readAggregates(in);
            default -> in.skipValue();
        }
    }

    private void readAggregates(MessageUnpacker in) throws IOException {
        for (int left = in.unpackMapHeader(); left > 0; left--) {
            int column = AGGREGATES.indexOf(in.unpackString());
            if (column < 0) {
                in.skipValue();
            } else if (!in.tryUnpackNil()) {
                aggregates[column] = number(in);
            }
        }
    }

    /** A number is a float even where its writer saved bytes and wrote an integer. */
    private static double number(MessageUnpacker in) throws IOException {
        return in.getNextFormat().getValueType() == ValueType.INTEGER ? in.unpackLong() : in.unpackDouble();
    }
}
