import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.UnknownFieldSet;

/** A valid report's day, and the degrees of that day. */
record Day(int year, int month, int day, double degrees) {
    private static final double DEGREES_MAX = 1e9;

    /** The day that a record's value reports, or null where it is no valid report. */
    static Day of(byte[] value) {
        if (value == null) {
            return null;
        }
        ReportOuterClass.Report report;
        try {
            report = ReportOuterClass.Report.parseFrom(value);
        } catch (InvalidProtocolBufferException malformed) {
            return null;
        }
        // A field of ours with another wire type is an unknown field to the library.
        UnknownFieldSet unknown = report.getUnknownFields();
        if (unknown.hasField(ReportOuterClass.Report.DATE_FIELD_NUMBER)
                || unknown.hasField(ReportOuterClass.Report.DEGREES_FIELD_NUMBER)) {
            return null;
        }
        String date = report.getDate();
        double degrees = report.getDegrees();
        // Not a number is not within either.
        if (date.length() != 10 || date.charAt(4) != '-' || date.charAt(7) != '-'
                || !(Math.abs(degrees) <= DEGREES_MAX)) {
            return null;
        }
        int year = number(date, 0, 4);
        int month = number(date, 5, 7);
        int day = number(date, 8, 10);
        if (year < 1 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month)) {
            return null;
        }
        return new Day(year, month, day, degrees);
    }

    private static int number(String text, int from, int to) {
        int number = 0;
        for (int i = from; i < to; i++) {
            char digit = text.charAt(i);
            if (digit < '0' || digit > '9') {
                return -1;
            }
            number = number * 10 + digit - '0';
        }
        return number;
    }

    private static int daysIn(int year, int month) {
        return switch (month) {
            case 4, 6, 9, 11 -> 30;
            case 2 -> year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28;
            default -> 31;
        };
    }
}
