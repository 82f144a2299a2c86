package peer;

import static java.util.Map.entry;

import java.util.List;
import java.util.Map;
import java.util.Set;

/** The columns of inferstream's fraud features, in their order; tests/integration/test_flink_peer.py compares them. */
final class Features {
    private static final Map<String, Double> PER_EURO = Map.ofEntries(
            entry("EUR", 1.0), entry("USD", 1.1), entry("GBP", 0.85), entry("CHF", 0.95), entry("SEK", 11.3),
            entry("NOK", 11.6), entry("DKK", 7.5), entry("PLN", 4.3), entry("CZK", 25.0), entry("HUF", 400.0),
            entry("RON", 5.0), entry("TRY", 45.0), entry("JPY", 165.0), entry("CNY", 7.8), entry("INR", 95.0),
            entry("KRW", 1500.0), entry("AUD", 1.7), entry("CAD", 1.5), entry("NZD", 1.85), entry("SGD", 1.5),
            entry("HKD", 8.6), entry("BRL", 6.0), entry("MXN", 20.0), entry("ZAR", 20.0), entry("AED", 4.0),
            entry("IDR", 17500.0));
    private static final Set<Integer> RISKY = Set.of(4829, 5094, 5732, 5944, 6051, 6211, 7801, 7802, 7995);
    private static final List<String> CHANNELS =
            List.of("chip", "contactless", "magstripe", "ecommerce", "moto", "recurring", "atm");

    private static final int OWN = 10;
    private static final int AGGREGATES = Transaction.AGGREGATES.size();
    private static final int AGGREGATE_0 = OWN + CHANNELS.size();
    private static final int MISSING_0 = AGGREGATE_0 + AGGREGATES;
    private static final int SHARES_0 = Transaction.AGGREGATES.indexOf("terminal_fraud_share_1d");
    private static final int MEAN_30D = Transaction.AGGREGATES.indexOf("card_mean_amount_30d");

    static final int COLUMNS = MISSING_0 + AGGREGATES;

    private Features() {}

    static float[] of(Transaction event) {
        float[] row = new float[COLUMNS];
        Double perEuro = PER_EURO.get(event.currency);
        row[0] = (float) Math.log1p(perEuro == null ? event.amount : event.amount / perEuro);
        row[2] = flag(perEuro == null);
        setTime(row, event.timestampMs);
        row[7] = flag(event.cardCountry != null && !event.cardCountry.equals(event.country));
        row[8] = flag(event.cardCountry == null);
        row[9] = flag(RISKY.contains(event.merchantCategory));
        setChannel(row, event.channel);
        double usual = setAggregates(row, event.aggregates);
        row[1] = (float) (row[0] - (Double.isNaN(usual) ? row[0] : usual));
        return row;
    }

    private static void setTime(float[] row, long timestampMs) {
        double hour = timestampMs / 3_600_000.0 % 24;
        long day = (timestampMs / 86_400_000 + 3) % 7; // 1970-01-01 was a Thursday; 0 is Monday
        row[3] = (float) Math.sin(hour * (Math.PI / 12));
        row[4] = (float) Math.cos(hour * (Math.PI / 12));
        row[5] = flag(hour < 6);
        row[6] = flag(day >= 5);
    }

    private static void setChannel(float[] row, String channel) {
        int code = CHANNELS.indexOf(channel);
        if (code < 0) {
            throw new IllegalArgumentException("a transaction's channel is none of " + CHANNELS);
        }
        row[OWN + code] = 1;
    }

    /** Returns the usual amount of the card, as a logarithm, or NaN. */
    private static double setAggregates(float[] row, double[] aggregates) {
        for (int i = 0; i < AGGREGATES; i++) {
            double value = aggregates[i];
            boolean isMissing = Double.isNaN(value);
            row[MISSING_0 + i] = flag(isMissing);
            row[AGGREGATE_0 + i] = isMissing ? 0 : (float) (i < SHARES_0 ? Math.log1p(value) : value);
        }
        return Math.log1p(aggregates[MEAN_30D]);
    }

    private static float flag(boolean holds) {
        return holds ? 1 : 0;
    }
}
