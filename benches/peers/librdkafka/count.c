/* The yardstick: how fast librdkafka hands over records to a C program that does nothing but count them.
 *
 * It reads each partition from its first offset to where it ended at the start, prints what it has counted every
 * 100 ms and at the end, and waits for the end of its stdin. It keeps no checkpoints, so --dir is not looked at.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rdkafka.h"

#define ANSWER_MAX_MS 10000
#define PRINT_EVERY_NS 100000000

struct partition {
        int64_t end;
        bool done;
};

struct count {
        struct partition *partitions;
        int32_t partition_count;
        int32_t done;
        int64_t records;
};

static void die(const char *format, ...) {
        va_list arguments;
        va_start(arguments, format);
        fputs("error: ", stderr);
        vfprintf(stderr, format, arguments);
        fputc('\n', stderr);
        va_end(arguments);
        /* Without the client's orderly end, which would wait for the broker that has just failed. */
        _Exit(1);
}

static int64_t now_ns(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void print(int64_t records) {
        if (printf("%" PRId64 "\n", records) < 0 || fflush(stdout) != 0)
                die("can't write to stdout: %s", strerror(errno));
}

static void set(rd_kafka_conf_t *conf, const char *key, const char *value) {
        char reason[512];
        if (rd_kafka_conf_set(conf, key, value, reason, sizeof(reason)) != RD_KAFKA_CONF_OK)
                die("%s", reason);
}

static void finish(struct count *count, struct partition *partition) {
        if (!partition->done) {
                partition->done = true;
                count->done++;
        }
}

static void on_record(rd_kafka_message_t *message, void *opaque) {
        struct count *count = opaque;
        struct partition *partition = &count->partitions[message->partition];
        if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
                if (message->offset >= partition->end)
                        finish(count, partition);
                return;
        }
        if (message->err)
                die("partition %" PRId32 ": %s", message->partition, rd_kafka_message_errstr(message));
        if (message->offset < partition->end)
                count->records++;
        if (message->offset + 1 >= partition->end)
                finish(count, partition);
}

static int32_t partitions_of(rd_kafka_t *rk, rd_kafka_topic_t *topic) {
        const struct rd_kafka_metadata *metadata;
        rd_kafka_resp_err_t err = rd_kafka_metadata(rk, 0, topic, &metadata, ANSWER_MAX_MS);
        if (err)
                die("no answer of the broker: %s", rd_kafka_err2str(err));
        if (metadata->topics[0].err)
                die("topic %s: %s", rd_kafka_topic_name(topic), rd_kafka_err2str(metadata->topics[0].err));
        int32_t partitions = metadata->topics[0].partition_cnt;
        rd_kafka_metadata_destroy(metadata);
        return partitions;
}

int main(int argc, char **argv) {
        const char *brokers = NULL, *name = NULL, *seconds = NULL;
        for (int i = 1; i + 1 < argc; i += 2) {
                if (strcmp(argv[i], "--brokers") == 0)
                        brokers = argv[i + 1];
                else if (strcmp(argv[i], "--topic") == 0)
                        name = argv[i + 1];
                else if (strcmp(argv[i], "--seconds") == 0)
                        seconds = argv[i + 1];
                else if (strcmp(argv[i], "--dir") != 0)
                        die("%s is not known\nhint: --brokers HOST:PORT --topic T --dir DIR --seconds S", argv[i]);
        }
        if (!brokers || !name || !seconds || argc % 2 == 0)
                die("arguments are missing\nhint: --brokers HOST:PORT --topic T --dir DIR --seconds S");
        int64_t reading_max_ns = (int64_t)(strtod(seconds, NULL) * 1e9);

        rd_kafka_conf_t *conf = rd_kafka_conf_new();
        set(conf, "bootstrap.servers", brokers);
        const char *ca = getenv("TLS_CA");
        if (ca) {
                set(conf, "security.protocol", "ssl");
                set(conf, "ssl.ca.location", ca);
        }
        set(conf, "check.crcs", "true");
        set(conf, "enable.partition.eof", "true");
        /* Default 1 MiB. A fetch of this size is still in the processor's cache when its records are looked at. */
        set(conf, "fetch.message.max.bytes", "262144");
        /* Default 1000: a partition whose queue was full would stand still for a second. */
        set(conf, "fetch.queue.backoff.ms", "1");

        char reason[512];
        rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, reason, sizeof(reason));
        if (!rk)
                die("%s", reason);
        rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, name, NULL);
        if (!topic)
                die("topic %s: %s", name, rd_kafka_err2str(rd_kafka_last_error()));

        struct count count = {.partition_count = partitions_of(rk, topic)};
        count.partitions = calloc((size_t)count.partition_count, sizeof(*count.partitions));
        if (!count.partitions)
                die("out of memory");
        rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
        for (int32_t partition = 0; partition < count.partition_count; partition++) {
                int64_t first;
                struct partition *this = &count.partitions[partition];
                rd_kafka_resp_err_t err =
                    rd_kafka_query_watermark_offsets(rk, name, partition, &first, &this->end, ANSWER_MAX_MS);
                if (err)
                        die("partition %" PRId32 ": %s", partition, rd_kafka_err2str(err));
                if (first >= this->end)
                        finish(&count, this);
                else if (rd_kafka_consume_start_queue(topic, partition, first, queue) == -1)
                        die("partition %" PRId32 ": %s", partition, rd_kafka_err2str(rd_kafka_last_error()));
        }

        int64_t stop_ns = INT64_MAX, print_ns = 0;
        while (count.done < count.partition_count) {
                if (rd_kafka_consume_callback_queue(queue, 100, on_record, &count) == -1)
                        die("%s", rd_kafka_err2str(rd_kafka_last_error()));
                int64_t now = now_ns();
                if (count.records > 0 && now >= print_ns && count.done < count.partition_count) {
                        print(count.records);
                        print_ns = now + PRINT_EVERY_NS;
                        if (stop_ns == INT64_MAX)
                                stop_ns = now + reading_max_ns;
                }
                if (now >= stop_ns)
                        break;
        }
        print(count.records);
        fclose(stdout);

        while (getchar() != EOF)
                ;
        return 0;
}
