/*
 * fakeprinter: a minimal Marlin on a pty, for benchmarking print hosts.
 *
 *   cc -O2 -Wall -o fakeprinter fakeprinter.c -lm
 *   ./fakeprinter --link fake0 [options]
 *
 * The firmware is a discrete event simulation on CLOCK_MONOTONIC.  Every byte
 * and every 'ok' has a computed ("virtual") time, so a late wake-up of this
 * process delays one delivery but never accumulates.
 *
 *   host -> [link, --baud] -> rx buffer (--rx-buffer bytes, overflow = lost line)
 *        -> command queue (4 lines, as BUFSIZE) -> execute (--delay-us)
 *        -> planner (16 blocks, --planner) -> 'ok' -> [link, --baud] -> host
 *
 * As in Marlin the 'ok' of a line is sent when the line has been executed, and
 * a move is executed once it has a place in the planner.
 * Line numbers follow Marlin 2.1: wrong number or checksum answers
 * "Error:...", "Resend: N", "ok" and drops what is in the rx buffer; a repeat
 * of one of the last two lines is dropped without an answer (--marlin20: a
 * repeat is an error too, as in Marlin 2.0).
 *
 * --meatpack: lines are unpacked where the host says so, as Marlin's
 * feature/meatpack.cpp does it; each byte takes its time on the link and its
 * place in the rx buffer before that.  The rx buffer holds whole lines, so what
 * is flushed leaves the decoder in step.
 *
 * Statistics of how fast the host is: turnaround_us is from an 'ok' with nothing
 * else in flight to the next line; answer_us from the oldest 'ok' to which no
 * line has come yet to the next line, so it counts with a window too.  Both
 * hold the wake-ups of two processes.
 *
 * SIGUSR1 writes the statistics, SIGTERM/SIGINT or the end of the parent
 * process writes them and exits.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

typedef int64_t ns_t;
#define NEVER INT64_MAX
#define LINE_MAX_ 256
#define CMDQ 4
#define PLANNER 16
#define RXQ 1024
#define TXQ 4096
#define MAX_TURN (1 << 20)

/* ---- options ---- */
static const char *opt_link = "fakeprinter-tty", *opt_stats;
static long opt_delay_us, opt_baud, opt_resend_every, opt_rx_buffer = 1024;
static int opt_planner, opt_marlin20, opt_meatpack;
static ns_t byte_ns;

/* ---- sha256 (FIPS 180-4) ---- */
typedef struct { uint32_t h[8]; uint64_t n; uint8_t b[64]; } sha_t;
static const uint32_t K256[64] = {
0x428a2f98,0x71374491,0xb5c0fbcf,0xe9b5dba5,0x3956c25b,0x59f111f1,0x923f82a4,0xab1c5ed5,
0xd807aa98,0x12835b01,0x243185be,0x550c7dc3,0x72be5d74,0x80deb1fe,0x9bdc06a7,0xc19bf174,
0xe49b69c1,0xefbe4786,0x0fc19dc6,0x240ca1cc,0x2de92c6f,0x4a7484aa,0x5cb0a9dc,0x76f988da,
0x983e5152,0xa831c66d,0xb00327c8,0xbf597fc7,0xc6e00bf3,0xd5a79147,0x06ca6351,0x14292967,
0x27b70a85,0x2e1b2138,0x4d2c6dfc,0x53380d13,0x650a7354,0x766a0abb,0x81c2c92e,0x92722c85,
0xa2bfe8a1,0xa81a664b,0xc24b8b70,0xc76c51a3,0xd192e819,0xd6990624,0xf40e3585,0x106aa070,
0x19a4c116,0x1e376c08,0x2748774c,0x34b0bcb5,0x391c0cb3,0x4ed8aa4a,0x5b9cca4f,0x682e6ff3,
0x748f82ee,0x78a5636f,0x84c87814,0x8cc70208,0x90befffa,0xa4506ceb,0xbef9a3f7,0xc67178f2};
static void sha_init(sha_t *s) {
	static const uint32_t h[8] = {0x6a09e667,0xbb67ae85,0x3c6ef372,0xa54ff53a,
	                              0x510e527f,0x9b05688c,0x1f83d9ab,0x5be0cd19};
	memcpy(s->h, h, sizeof h); s->n = 0;
}
#define ROR(x, n) (((x) >> (n)) | ((x) << (32 - (n))))
static void sha_block(sha_t *s) {
	uint32_t w[64], v[8];
	for (int i = 0; i < 16; i++)
		w[i] = (uint32_t)s->b[4*i] << 24 | s->b[4*i+1] << 16 | s->b[4*i+2] << 8 | s->b[4*i+3];
	for (int i = 16; i < 64; i++)
		w[i] = w[i-16] + w[i-7] + (ROR(w[i-15],7) ^ ROR(w[i-15],18) ^ (w[i-15] >> 3))
		     + (ROR(w[i-2],17) ^ ROR(w[i-2],19) ^ (w[i-2] >> 10));
	memcpy(v, s->h, sizeof v);
	for (int i = 0; i < 64; i++) {
		uint32_t t1 = v[7] + (ROR(v[4],6) ^ ROR(v[4],11) ^ ROR(v[4],25))
		            + ((v[4] & v[5]) ^ (~v[4] & v[6])) + K256[i] + w[i];
		uint32_t t2 = (ROR(v[0],2) ^ ROR(v[0],13) ^ ROR(v[0],22))
		            + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
		memmove(v + 1, v, 7 * sizeof *v);
		v[4] += t1; v[0] = t1 + t2;
	}
	for (int i = 0; i < 8; i++) s->h[i] += v[i];
}
static void sha_add(sha_t *s, const void *p, size_t n) {
	const uint8_t *c = p;
	while (n--) { s->b[s->n++ & 63] = *c++; if (!(s->n & 63)) sha_block(s); }
}
static void sha_hex(const sha_t *in, char *out) {
	sha_t s = *in; uint64_t bits = s.n * 8; uint8_t one = 0x80, zero = 0, len[8];
	sha_add(&s, &one, 1);
	while ((s.n & 63) != 56) sha_add(&s, &zero, 1);
	for (int i = 0; i < 8; i++) len[i] = bits >> (56 - 8 * i);
	sha_add(&s, len, 8);
	for (int i = 0; i < 8; i++) sprintf(out + 8 * i, "%08x", s.h[i]);
}

/* ---- statistics; "job" lines are those that start with G or T ---- */
static long n_received, n_accepted, n_job, n_moves, n_dup, n_out_of_order, n_bad_checksum,
            n_no_checksum, n_injected, n_resends, n_rx_overrun, n_unnumbered, n_connects,
            n_underruns, max_in_flight, job_bytes;
static ns_t t_first = -1, t_last, idle_ns;
static sha_t sha_job;
static uint32_t *turn; static long n_turn;   /* 'ok' written with nothing else in flight -> next line read, us */
static uint32_t *answer; static long n_answer;   /* oldest 'ok' since the last line -> next line read, us */
static long answer_job, answer_slow;             /* of these: up to the job's last line; 5 ms and more */

static int master = -1;
static volatile sig_atomic_t want_stats, want_exit;

static ns_t now_ns(void) {
	struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t);
	return (ns_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
static int cmp_u32(const void *a, const void *b) {
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b; return (x > y) - (x < y);
}
static void write_quantiles(FILE *f, const char *name, const uint32_t *samples, long n) {
	uint32_t *s = malloc((n + 1) * sizeof *s); memcpy(s, samples, n * sizeof *s);
	qsort(s, n, sizeof *s, cmp_u32);
#define PCT(p) (n ? s[(long)((n - 1) * (p))] : 0)
	fprintf(f, " \"%s\": {\"n\": %ld, \"p50\": %u, \"p90\": %u, \"p99\": %u, \"p999\": %u, \"max\": %u},\n",
	        name, n, PCT(.5), PCT(.9), PCT(.99), PCT(.999), PCT(1.));
	free(s);
}
static void write_stats(void) {
	if (!opt_stats) return;
	char tmp[512], hex[65]; snprintf(tmp, sizeof tmp, "%s.tmp", opt_stats);
	FILE *f = fopen(tmp, "w"); if (!f) { perror(tmp); return; }
	for (long i = answer_slow = 0; i < answer_job; i++) answer_slow += answer[i] >= 5000;
	double secs = t_first >= 0 ? (t_last - t_first) / 1e9 : 0;
	sha_hex(&sha_job, hex);
	fprintf(f, "{\"received\": %ld, \"accepted\": %ld, \"job_lines\": %ld, \"moves\": %ld,\n"
	        " \"job_seconds\": %.6f, \"lines_per_s\": %.2f,\n"
	        " \"duplicates\": %ld, \"out_of_order\": %ld, \"bad_checksum\": %ld, \"no_checksum\": %ld,\n"
	        " \"injected_errors\": %ld, \"resends_requested\": %ld, \"rx_overruns\": %ld,\n"
	        " \"unnumbered\": %ld, \"connects\": %ld, \"max_in_flight\": %ld,\n"
	        " \"underruns\": %ld, \"planner_idle_s\": %.6f,\n"
	        " \"job_bytes\": %ld, \"answers_over_5ms\": %ld,\n",
	        n_received, n_accepted, n_job, n_moves, secs, secs > 0 ? (n_job - 1) / secs : 0,
	        n_dup, n_out_of_order, n_bad_checksum, n_no_checksum, n_injected, n_resends,
	        n_rx_overrun, n_unnumbered, n_connects, max_in_flight, n_underruns, idle_ns / 1e9,
	        job_bytes, answer_slow);
	write_quantiles(f, "turnaround_us", turn, n_turn);
	write_quantiles(f, "answer_us", answer, answer_job);
	fprintf(f, " \"sha256_job\": \"%s\"}\n", hex);
	fclose(f); rename(tmp, opt_stats);
}
static void on_signal(int sig) { if (sig == SIGUSR1) want_stats = 1; else want_exit = 1; }

/* ---- firmware -> host ---- */
static struct { ns_t at; int len, is_ok; char s[LINE_MAX_]; } tx[TXQ];
static unsigned tx_head, tx_tail;
static ns_t tx_free;                    /* when the line to the host is free again */
static ns_t last_ok_at = -1;            /* wall time of the last 'ok' written, -1: none open */
static ns_t open_ok_at = -1;            /* wall time of the oldest 'ok' since the last line, -1: none */
static long in_flight;                  /* lines read that have no 'ok' yet */
static int tx_blocked;

static void reply(ns_t t, int is_ok, const char *s) {
	if (tx_tail - tx_head >= TXQ) return;
	int i = tx_tail++ % TXQ;
	tx[i].len = snprintf(tx[i].s, sizeof tx[i].s, "%s\n", s); tx[i].is_ok = is_ok;
	tx_free = (t > tx_free ? t : tx_free) + tx[i].len * byte_ns;
	tx[i].at = tx_free;
}
static void tx_deliver(void) {
	int i = tx_head % TXQ;
	ssize_t n = write(master, tx[i].s, tx[i].len);
	if (n < 0) { if (errno == EAGAIN) { tx_blocked = 1; return; } n = tx[i].len; }
	if (n < tx[i].len) {
		memmove(tx[i].s, tx[i].s + n, tx[i].len - n); tx[i].len -= n; tx_blocked = 1; return;
	}
	tx_head++;
	if (tx[i].is_ok && in_flight) in_flight--;
	if (tx[i].is_ok && !in_flight) last_ok_at = now_ns();
	if (tx[i].is_ok && open_ok_at < 0) open_ok_at = now_ns();
}

/* ---- firmware state ---- */
typedef struct { int len, lost, cost; char s[LINE_MAX_]; } line_t;   /* cost: bytes of it on the link */
static line_t rxq[RXQ]; static unsigned rx_head, rx_tail; static long rx_bytes;
static line_t cmdq[CMDQ]; static unsigned cq_head, cq_tail;
static ns_t exec_at = NEVER, exec_free;      /* when the running command ends / ended */
static long last_n, seen;
static double pos[4], feed = 1500; static int rel_xyz, rel_e;
static ns_t block_end[PLANNER], last_end; static unsigned long n_blocks;
static ns_t report_every, report_at = NEVER;

static void firmware_reset(ns_t t) {
	rx_head = rx_tail = cq_head = cq_tail = 0; rx_bytes = 0; tx_head = tx_tail = 0; tx_blocked = 0;
	exec_at = report_at = NEVER; exec_free = tx_free = t; last_n = 0; n_blocks = 0; last_end = t;
	in_flight = 0; last_ok_at = open_ok_at = -1; rel_xyz = rel_e = 0; memset(pos, 0, sizeof pos);
	reply(t, 0, "start");
	reply(t, 0, "echo:Marlin 2.1.2 fakeprinter");
	reply(t, 0, "echo: Free Memory: 3000  PlannerBufferBytes: 1152");
}
static int word(const char *s, char key, double *v) {
	for (s++; *s; s++) if (*s == key) {
		char b[40]; size_t n = strspn(s + 1, "+-.0123456789");  /* an E begins the next word, and no exponent */
		if (n >= sizeof b) n = sizeof b - 1;
		memcpy(b, s + 1, n); b[n] = 0; *v = strtod(b, NULL); return 1;
	}
	return 0;
}
/* time a move takes, and its new position; 0 for no movement */
static ns_t move_ns(const char *s) {
	double v, d2 = 0, de = 0;
	static const char axes[] = "XYZE";
	if (word(s, 'F', &v) && v > 0) feed = v;
	for (int a = 0; a < 4; a++) {
		if (!word(s, axes[a], &v)) continue;
		double d = (a < 3 ? rel_xyz : rel_e) ? v : v - pos[a];
		pos[a] += d;
		if (a < 3) d2 += d * d; else de = fabs(d);
	}
	return (ns_t)((d2 > 0 ? sqrt(d2) : de) / feed * 60e9);
}
static int is_code(const char *s, const char *code) {
	size_t n = strlen(code); return !strncmp(s, code, n) && !isdigit((unsigned char)s[n]);
}
static int is_move(const char *s) {
	return is_code(s, "G0") || is_code(s, "G1") || is_code(s, "G2") || is_code(s, "G3");
}

static void request_resend(ns_t t, const char *why) {
	char b[128]; n_resends++;
	snprintf(b, sizeof b, "Error:%s, Last Line: %ld", why, last_n); reply(t, 0, b);
	snprintf(b, sizeof b, "Resend: %ld", last_n + 1); reply(t, 0, b);
	reply(t, 1, "ok");
	for (unsigned i = rx_head; i != rx_tail; i++) if (in_flight) in_flight--;
	rx_head = rx_tail = 0; rx_bytes = 0;            /* Marlin flushes its rx buffer */
}
static void exec_start(ns_t t) {
	if (exec_at != NEVER || cq_head == cq_tail) return;
	const char *s = cmdq[cq_head % CMDQ].s;
	exec_at = (t > exec_free ? t : exec_free) + opt_delay_us * 1000;
	if (!opt_planner) return;
	if (is_move(s)) {
		if (n_blocks >= PLANNER && block_end[n_blocks % PLANNER] > exec_at)
			exec_at = block_end[n_blocks % PLANNER];       /* planner full: wait for a block */
	} else if (is_code(s, "M400") || is_code(s, "G4") || is_code(s, "G28")) {
		if (last_end > exec_at) exec_at = last_end;
	}
}
/* the command without what carries no meaning: blanks, idle zeros, a plus; what is hashed */
static int canonical(const char *s, char *out) {
	char *o = out;
	while (*s) {
		if (isspace((unsigned char)*s)) { s++; continue; }
		*o++ = *s++;
		const char *n = s; while (isspace((unsigned char)*n)) n++;
		int minus = *n == '-'; if (minus || *n == '+') n++;
		const char *whole = n; while (isdigit((unsigned char)*n)) n++;
		const char *whole_end = n, *part = n, *part_end = n;
		if (*n == '.') { part = ++n; while (isdigit((unsigned char)*n)) n++; part_end = n; }
		if (whole == whole_end && part == part_end) continue;
		while (whole < whole_end && *whole == '0') whole++;
		while (part_end > part && part_end[-1] == '0') part_end--;
		if (minus && (whole < whole_end || part < part_end)) *o++ = '-';
		if (whole == whole_end) *o++ = '0';
		while (whole < whole_end) *o++ = *whole++;
		if (part < part_end) *o++ = '.';
		while (part < part_end) *o++ = *part++;
		s = n;
	}
	return o - out;
}
/* take lines from the rx buffer into the command queue */
static void rx_pump(ns_t t) {
	while (rx_head != rx_tail && cq_tail - cq_head < CMDQ) {
		line_t *l = &rxq[rx_head++ % RXQ]; rx_bytes -= l->cost;
		char *s = l->s; while (*s == ' ') s++;
		char *star = strrchr(s, '*');
		n_received++;
		if (l->lost) { request_resend(t, "checksum mismatch"); return; }
		if (*s == 'N') {
			int m110 = strstr(s, "M110") != NULL;
			char *np = s, *e, *n2;
			if (m110 && strlen(s) > 4 && (n2 = strchr(s + 4, 'N'))) np = n2;
			long num = strtol(np + 1, &e, 10);
			if (num != last_n + 1 && !m110) {
				if (!opt_marlin20 && (num == last_n || num == last_n - 1)) { n_dup++; if (in_flight) in_flight--; continue; }
				n_out_of_order++;
				request_resend(t, "Line Number is not Last Line Number+1"); return;
			}
			if (!star) { n_no_checksum++; request_resend(t, "No Checksum with line number"); return; }
			uint8_t sum = 0; for (char *c = s; c < star; c++) sum ^= (uint8_t)*c;
			if (strtol(star + 1, NULL, 10) != sum) {
				n_bad_checksum++; request_resend(t, "checksum mismatch"); return;
			}
			if (!m110 && opt_resend_every && ++seen % opt_resend_every == 0) {
				n_injected++; request_resend(t, "checksum mismatch"); return;
			}
			last_n = num;
			*star = 0;
			strtol(s + 1, &s, 10); while (*s == ' ') s++;
		} else {
			n_unnumbered++;
			if (star) *star = 0;
		}
		line_t *c = &cmdq[cq_tail++ % CMDQ];
		c->len = snprintf(c->s, sizeof c->s, "%s", s);
		while (c->len && isspace((unsigned char)c->s[c->len - 1])) c->s[--c->len] = 0;
		n_accepted++;
		if (*c->s == 'G' || *c->s == 'T') {
			char plain[2 * LINE_MAX_]; sha_add(&sha_job, plain, canonical(c->s, plain)); sha_add(&sha_job, "\n", 1);
			n_job++; t_last = t; answer_job = n_answer; if (t_first < 0) t_first = t; else job_bytes += l->cost;
		}
		exec_start(t);
	}
}
static void exec_done(ns_t t) {
	const char *s = cmdq[cq_head % CMDQ].s; double v;
	exec_free = t; exec_at = NEVER;
	if (is_move(s)) {
		ns_t d = move_ns(s); n_moves++;
		if (opt_planner && d > 0) {
			if (n_blocks && t > last_end) { n_underruns++; idle_ns += t - last_end; }
			last_end = (t > last_end ? t : last_end) + d;
			block_end[n_blocks++ % PLANNER] = last_end;
		}
	}
	else if (is_code(s, "G90")) rel_xyz = rel_e = 0;
	else if (is_code(s, "G91")) rel_xyz = rel_e = 1;
	else if (is_code(s, "M82")) rel_e = 0;
	else if (is_code(s, "M83")) rel_e = 1;
	else if (is_code(s, "G92")) { for (int a = 0; a < 4; a++) if (word(s, "XYZE"[a], &v)) pos[a] = v; }
	else if (is_code(s, "M110")) { if (word(s, 'N', &v)) last_n = (long)v; }
	else if (is_code(s, "M155")) {
		report_every = word(s, 'S', &v) ? (ns_t)(v * 1e9) : 0;
		report_at = report_every ? t + report_every : NEVER;
	}
	else if (is_code(s, "M114")) {
		char b[160]; snprintf(b, sizeof b, "X:%.2f Y:%.2f Z:%.2f E:%.2f Count X:0 Y:0 Z:0", pos[0], pos[1], pos[2], pos[3]); reply(t, 0, b);
	}
	else if (is_code(s, "M118")) { const char *text = s + 4; while (*text == ' ') text++; reply(t, 0, text); }
	else if (is_code(s, "M115")) {
		reply(t, 0, "FIRMWARE_NAME:Marlin 2.1.2 (fakeprinter) SOURCE_CODE_URL:github.com/MarlinFirmware/Marlin "
		            "PROTOCOL_VERSION:1.0 MACHINE_TYPE:Fake EXTRUDER_COUNT:1");
		reply(t, 0, "Cap:EEPROM:0"); reply(t, 0, "Cap:AUTOREPORT_TEMP:1");
		reply(t, 0, "Cap:AUTOREPORT_POS:0"); reply(t, 0, "Cap:PROGRESS:0");
		reply(t, 0, "Cap:EMERGENCY_PARSER:0"); reply(t, 0, "Cap:BUSY_PROTOCOL:0");
		if (opt_meatpack) reply(t, 0, "Cap:MEATPACK:1");
	}
	if (is_code(s, "M105")) reply(t, 1, "ok T:210.00 /210.00 B:60.00 /60.00 @:64 B@:64");
	else reply(t, 1, "ok");
	cq_head++;
	rx_pump(t); exec_start(t);
}

/* ---- host -> firmware link ---- */
static char lnk[65536]; static size_t lk_len;    /* bytes on their way */
static ns_t lk_head_at;                           /* when lnk[0] has arrived */
static size_t lk_line;                            /* length of the first whole line, with \n; 0: none */
static uint8_t lk_cost[sizeof lnk]; static int lk_line_cost;   /* bytes on the link for each character, and for that line */
static int lk_owed;                               /* bytes that have not completed a character yet */

static void link_scan(void) {
	char *nl = memchr(lnk, '\n', lk_len); lk_line = nl ? (size_t)(nl - lnk) + 1 : 0;
	lk_line_cost = 0; for (size_t i = 0; i < lk_line; i++) lk_line_cost += lk_cost[i];
}
static ns_t link_next(void) { return lk_line ? lk_head_at + (ns_t)(lk_line_cost - 1) * byte_ns : NEVER; }

static struct { int on, nsp, cmd, count, full; uint8_t second; } mp;
static void link_put(uint8_t c) {                 /* one character has come out of the decoder */
	if (lk_len < sizeof lnk) { lk_cost[lk_len] = lk_owed; lnk[lk_len++] = (char)c; lk_owed = 0; }
}
static void mp_inner(uint8_t c) {
	char table[] = "0123456789. \nGX"; if (mp.nsp) table[11] = 'E';
	if (!mp.on) { link_put(c); return; }
	if (mp.full) {
		link_put(c); mp.full--;
		if (mp.second) { link_put(mp.second); mp.second = 0; }
		return;
	}
	int low = c & 15, high = c >> 4;
	if (low == 15) { mp.full++; if (high == 15) mp.full++; else mp.second = table[high]; return; }
	link_put(table[low]);
	if (table[low] == '\n') return;
	if (high == 15) mp.full++; else link_put(table[high]);
}
static void mp_take(uint8_t c, ns_t t) {          /* one byte has come */
	lk_owed++;
	if (!opt_meatpack) { link_put(c); return; }
	if (c == 0xFF) { if (mp.count) { mp.cmd = 1; mp.count = 0; } else mp.count = 1; return; }
	if (mp.cmd) {
		char b[32]; mp.cmd = 0;
		if (c == 0xFB) mp.on = 1; else if (c == 0xFA) mp.on = 0; else if (c == 0xF7) mp.nsp = 1; else if (c == 0xF6) mp.nsp = 0;
		else if (c == 0xF9) memset(&mp, 0, sizeof mp);
		snprintf(b, sizeof b, "[MP] PV01 %s %s", mp.on ? "ON" : "OFF", mp.nsp ? "NSP" : "ESP"); reply(t, 0, b);
		return;
	}
	if (mp.count) { mp_inner(0xFF); mp.count = 0; }
	mp_inner(c);
}
static void link_read(void) {
	if (lk_len >= 4096) return;                     /* a kernel's tty buffer */
	uint8_t raw[4096]; ssize_t n = read(master, raw, sizeof raw);
	if (n <= 0) return;
	ns_t t = now_ns(); size_t before = lk_len;
	if (!lk_len && !lk_owed) lk_head_at = (t > lk_head_at ? t : lk_head_at) + byte_ns;
	for (ssize_t i = 0; i < n; i++) mp_take(raw[i], t);
	long lines = 0; for (size_t i = before; i < lk_len; i++) lines += lnk[i] == '\n';
	if (lines && last_ok_at >= 0) { if (n_turn < MAX_TURN) turn[n_turn++] = (t - last_ok_at) / 1000; last_ok_at = -1; }
	if (lines && open_ok_at >= 0) {
		if (t_first >= 0 && n_answer < MAX_TURN) answer[n_answer++] = (t - open_ok_at) / 1000;
		open_ok_at = -1;
	}
	in_flight += lines; if (in_flight > max_in_flight) max_in_flight = in_flight;
	link_scan();
}
static void link_arrive(ns_t t) {                 /* the first line on the link has arrived */
	line_t *l = &rxq[rx_tail % RXQ]; int n = lk_line - 1;
	if (n && lnk[n - 1] == '\r') n--;
	if (n > 0) {
		l->len = n < LINE_MAX_ ? n : LINE_MAX_ - 1;
		memcpy(l->s, lnk, l->len); l->s[l->len] = 0;
		l->cost = lk_line_cost;
		l->lost = cq_tail - cq_head >= CMDQ && rx_bytes + l->cost > opt_rx_buffer;
		n_rx_overrun += l->lost;
		if (rx_tail - rx_head < RXQ) { rx_tail++; rx_bytes += l->cost; }
	} else if (in_flight) in_flight--;
	memmove(lnk, lnk + lk_line, lk_len - lk_line); memmove(lk_cost, lk_cost + lk_line, lk_len - lk_line); lk_len -= lk_line;
	lk_head_at = t + (lk_len ? byte_ns : 0);
	link_scan(); rx_pump(t);
}

static int open_pty(char *slave, size_t n) {
	int fd = posix_openpt(O_RDWR | O_NOCTTY);
	if (fd < 0 || grantpt(fd) || unlockpt(fd) || ptsname_r(fd, slave, n)) { perror("pty"); exit(1); }
	int s = open(slave, O_RDWR | O_NOCTTY); struct termios t;
	if (s < 0 || tcgetattr(s, &t)) { perror(slave); exit(1); }
	cfmakeraw(&t); tcsetattr(s, TCSANOW, &t); close(s);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	unlink(opt_link);
	if (symlink(slave, opt_link)) { perror(opt_link); exit(1); }
	return fd;
}

int main(int argc, char **argv) {
	static const struct option o[] = {
		{"link", 1, 0, 'l'}, {"stats", 1, 0, 's'}, {"delay-us", 1, 0, 'd'}, {"baud", 1, 0, 'b'},
		{"planner", 0, 0, 'p'}, {"resend-every", 1, 0, 'r'}, {"rx-buffer", 1, 0, 'x'}, {"marlin20", 0, 0, '2'},
		{"meatpack", 0, 0, 'm'}, {0, 0, 0, 0}};
	int c; char slave[128];
	while ((c = getopt_long(argc, argv, "", o, NULL)) != -1) switch (c) {
	case 'l': opt_link = optarg; break;
	case 's': opt_stats = optarg; break;
	case 'd': opt_delay_us = atol(optarg); break;
	case 'b': opt_baud = atol(optarg); break;
	case 'p': opt_planner = 1; break;
	case '2': opt_marlin20 = 1; break;
	case 'm': opt_meatpack = 1; break;
	case 'r': opt_resend_every = atol(optarg); break;
	case 'x': opt_rx_buffer = atol(optarg); break;
	default: fprintf(stderr, "usage: fakeprinter --link PATH [--stats FILE] [--delay-us N] [--baud BPS]"
		" [--planner] [--resend-every K] [--rx-buffer BYTES] [--marlin20] [--meatpack]\n"); return 2;
	}
	byte_ns = opt_baud ? 10 * 1000000000LL / opt_baud : 0;    /* 8N1: ten bits a byte */
	turn = malloc(MAX_TURN * sizeof *turn); answer = malloc(MAX_TURN * sizeof *answer); sha_init(&sha_job);
	prctl(PR_SET_TIMERSLACK, 1);
	prctl(PR_SET_PDEATHSIG, SIGTERM);               /* never outlive the benchmark */
	sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1});  /* if allowed: a printer is never busy elsewhere */
	master = open_pty(slave, sizeof slave);

	struct sigaction sa = {.sa_handler = on_signal};
	sigset_t block, none; sigemptyset(&block); sigemptyset(&none);
	int sigs[] = {SIGUSR1, SIGTERM, SIGINT};
	for (int i = 0; i < 3; i++) { sigaction(sigs[i], &sa, NULL); sigaddset(&block, sigs[i]); }
	sigprocmask(SIG_BLOCK, &block, NULL);            /* delivered only inside ppoll */
	printf("%s -> %s\n", opt_link, slave); fflush(stdout);

	int open_ = 0; ns_t next_look = 0;
	while (!want_exit) {
		if (want_stats) { want_stats = 0; write_stats(); }
		ns_t now = now_ns();
		if (!open_ || now >= next_look) {              /* POLLHUP: no host has the port open */
			struct pollfd h = {.fd = master, .events = POLLIN}; poll(&h, 1, 0);
			int is_open = !(h.revents & POLLHUP);
			next_look = now + 100000000;
			if (is_open && !open_) { lk_len = lk_line = 0; lk_head_at = 0; lk_owed = 0; memset(&mp, 0, sizeof mp); firmware_reset(now + 50000000); n_connects++; }
			if (!is_open && open_) { char junk[4096]; while (read(master, junk, sizeof junk) > 0) ; }
			open_ = is_open;
		}
		if (!open_) { struct timespec ts = {0, 5000000}; ppoll(NULL, 0, &ts, &none); continue; }

		link_read();
		ns_t next;
		for (;;) {                                      /* all events that are due, in order */
			ns_t a = link_next(), e = exec_at, d = tx_head != tx_tail && !tx_blocked ? tx[tx_head % TXQ].at : NEVER;
			next = a < e ? a : e; if (d < next) next = d; if (report_at < next) next = report_at;
			if (next == NEVER || next > now_ns()) break;
			if (next == d) tx_deliver();
			else if (next == e) exec_done(e);
			else if (next == a) link_arrive(a);
			else {
				report_at += report_every;
				reply(next, 0, " T:210.00 /210.00 B:60.00 /60.00 @:64 B@:64");
			}
		}
		now = now_ns();
		if (next_look < next) next = next_look;
		ns_t w = next > now ? next - now : 0;
		struct timespec ts = {w / 1000000000, w % 1000000000};
		struct pollfd p = {.fd = master, .events = (lk_len < 4096 ? POLLIN : 0) | (tx_blocked ? POLLOUT : 0)};
		if (ppoll(&p, 1, &ts, &none) > 0) {
			if (p.revents & POLLOUT) tx_blocked = 0;
			if (p.revents & POLLHUP) next_look = 0;
		}
	}
	write_stats();
	unlink(opt_link);
	return 0;
}
