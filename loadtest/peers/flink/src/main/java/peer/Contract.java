package peer;

/** What the load tool tells its contestants, from the environment. */
record Contract(
        String kafka, String triton, String model, String input, String output, String group, Options options) {

    static Contract fromEnvironment() {
        return new Contract(
                get("KAFKA"), get("TRITON"), get("MODEL"), get("INPUT"), get("OUTPUT"), get("GROUP"),
                Options.parse(System.getenv().getOrDefault("LOADTEST_OPTIONS", "{}")));
    }

    private static String get(String name) {
        String value = System.getenv("LOADTEST_" + name);
        if (value == null) {
            throw new IllegalArgumentException("LOADTEST_" + name + " is not set: the load tool sets it");
        }
        return value;
    }
}
