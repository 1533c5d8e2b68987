//! Examples of each command, for its help and its manual page.

/// Command lines, each with what it does.
pub fn examples_of(command: &str) -> &'static [(&'static str, &'static str)] {
    match command {
        "almanac" => &[
            ("almanac up", "Run everything on this machine, until Ctrl-C:"),
            (
                "almanac consumer -b kafka.example.org:9093 -d /srv/weather",
                "Keep checkpoints of a Kafka elsewhere:",
            ),
        ],
        "up" => &[
            ("almanac up", "Run everything, and keep the data that is there:"),
            ("almanac up --fresh --interval 10ms", "Start over, at a hundred days a second:"),
        ],
        "broker" => &[
            ("almanac broker --listen 127.0.0.1:9092", "Run Apache Kafka for this machine only:"),
            (
                "almanac broker --listen 0.0.0.0:9092 --advertise kafka.example.org:9092",
                "Run it for clients that know this machine by that name:",
            ),
            (
                "almanac broker --listen kafka-1:9092 --node 1 --cluster-id AAAAAAAAQACAAAAAAAAAAQ \
                 --quorum 1@kafka-1:9093,2@kafka-2:9093,3@kafka-3:9093",
                "Run the first of three nodes:",
            ),
            ("almanac broker --check && echo up", "Check whether Kafka answers:"),
        ],
        "producer" => &[
            ("almanac producer --interval 10ms", "Send synthetic weather, a day every 10 ms:"),
            (
                "almanac producer --append --days 365",
                "Send the days that are missing in the topic, up to 365 of them:",
            ),
            (
                "almanac producer --interval 0 --file USW00014837.csv.gz",
                "Send real weather from NOAA, as fast as possible:",
            ),
        ],
        "debug" => &[
            ("almanac debug", "Print records as Python does:"),
            ("almanac debug --format json | jq .degrees", "Print only the degrees:"),
        ],
        "consumer" => &[
            ("almanac consumer 0 2", "Keep two partitions:"),
            ("almanac consumer", "Keep those that the group assigns:"),
            ("almanac consumer 0 2 --take-over", "Take two partitions from a process that is paused:"),
        ],
        "plot" => &[
            ("almanac plot", "Draw the latest year of each month:"),
            ("almanac plot --month June July August", "Draw only the summer:"),
            ("almanac plot --kind heatmap --format png", "Draw every month of every year, for print:"),
            (
                "almanac plot --kind history --month July --format text",
                "Draw July over the years, on the terminal:",
            ),
            ("almanac plot --format csv > months.csv", "Write every month of every year as a table:"),
        ],
        "dashboard" => &[
            ("almanac dashboard", "Serve the page at http://127.0.0.1:8080/:"),
            (
                "almanac dashboard -d /srv/weather -l 0.0.0.0:8080 --allow-host weather.example.org",
                "Serve it to others, under that host name:",
            ),
        ],
        "verify" => &[
            ("almanac verify", "Check all checkpoints in DIR:"),
            (
                "almanac verify --format json | jq '.partitions[].difference'",
                "Print the first difference of each partition, or null:",
            ),
        ],
        "store" | "check" => {
            &[("almanac store check s3://weather/almanac", "Check a bucket before DIR is in it:")]
        }
        "status" => &[
            ("almanac status --watch", "Show the table, and update it every second:"),
            (
                "almanac status --format json | jq '.partitions[] | select(.state != \"running\")'",
                "Print the partitions that are not running:",
            ),
        ],
        "recover" => &[
            ("almanac recover --restart", "Archive the counts of all partitions, and count again:"),
            ("almanac recover 2 --continue", "Continue partition 2 after a gap:"),
        ],
        "proto" => &[("almanac proto > report.proto", "Write the schema, for another language:")],
        "completions" => &[(
            "almanac completions bash > ~/.local/share/bash-completion/completions/almanac",
            "Install completions for bash:",
        )],
        "man" => &[
            ("almanac man consumer | man -l -", "Read a page:"),
            (
                "almanac man --into ~/.local/share/man/man1",
                "Install all of them, for 'man almanac-consumer':",
            ),
        ],
        _ => &[],
    }
}

/// The same as the last part of `--help`.
pub(super) fn section(command: &str) -> String {
    let example = |(line, what): &(&str, &str)| format!("\n  {what}\n    {line}");
    let examples: String = examples_of(command).iter().map(example).collect();
    format!("Examples:{examples}")
}
