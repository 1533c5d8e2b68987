import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** Folds the reports of a partition into the cells of their months. The first report of a day wins. */
final class CountMonths implements Processor<byte[], byte[], Void, Void> {
    static final String STORE = "months";

    private KeyValueStore<Integer, Cell> cells;

    @Override
    public void init(ProcessorContext<Void, Void> context) {
        cells = context.getStateStore(STORE);
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        Day day = Day.of(record.value());
        if (day == null) {
            return;
        }
        Integer month = key(day.year(), day.month());
        Cell cell = cells.get(month);
        if (cell == null) {
            cells.put(month, Cell.first(day.day(), day.degrees()));
        } else if (!cell.has(day.day())) {
            cells.put(month, cell.with(day.day(), day.degrees()));
        }
    }

    /** A month's key in the store; keys are in the order of a checkpoint: months, then years. */
    static int key(int year, int month) {
        return month << Short.SIZE | year;
    }

    static int monthOf(int key) {
        return key >> Short.SIZE;
    }

    static int yearOf(int key) {
        return key & 0xffff;
    }
}
