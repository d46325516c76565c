/* A libnvidia-ml.so.1 that answers from a script, so that the real binding is tested without a GPU.
 *
 * The script's path is in $JOULEMARK_NVML_STUB; it is read again when it has changed. Its lines are "key value":
 *   devices 2             driver 580.65.06
 *   uuid.0 GPU-aaaa       name.0 NVIDIA H200       memory.0 150000000000     mig.0 0
 *   power.0 250000        energy.0 123456789       processes.0 4711:1048576,4712:99
 *   instant.0 260000      average.0 240000         limit.0 700000            (milliwatts)
 *   clock_sm.0 1980       clock_memory.0 3201      temperature.0 55          utilisation.0 97     throttle.0 0x40
 *   error.nvmlDeviceGetPowerUsage 15               (the code that this function returns; with .0 for one board)
 *   error.field.186 3                              (the code in this field's value)
 *
 * A board may be given a waveform instead (stub_wave): power and energy are then evaluated here, as a sensor would see
 * them that averages a part of every update period, and as a counter that moves at every update would. Time is
 * CLOCK_MONOTONIC, or what stub_time says. An error of the call that a field stands for is the field's error too.
 *
 * Compile with -DWITHOUT_ENERGY for a library older than the energy counter, and with -DWITHOUT_FIELDS for one older
 * than instant power, event reasons and the third form of the list of processes.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define SUCCESS 0
#define INVALID_ARGUMENT 2
#define NOT_SUPPORTED 3
#define INSUFFICIENT_SIZE 7
#define BOARDS 16
#define SEGMENTS 64
#define LINES 512

typedef int Return;
typedef long long Time;
typedef struct { int index; } Board;
typedef Board *Device;
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned gpu, memory; } Utilization;
typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } Process;
typedef struct {
    unsigned field, scope;
    Time timestamp, latency;
    unsigned type, code;
    union { double d; unsigned u; unsigned long long ull; } value;
} Field;

/* The waveform: straight pieces from at_s, repeated every period_s where that is not 0. */
typedef struct {
    int pieces;
    Time origin;
    double period_s, at_s[SEGMENTS], from_w[SEGMENTS], to_w[SEGMENTS];
    Time update, average, phase;
    Time counter_update, counter_phase, reset;
    unsigned long long quantum_mj;
} Wave;

static Board boards[BOARDS];
static Wave waves[BOARDS];
static Time scripted_now = -1;

static struct { char key[96], value[512]; } lines[LINES];
static int line_count, error_count, frozen;
static struct stat seen;
static char seen_path[4096];

/* ---- the script ---- */

static void reread(void) {
    const char *path = getenv("JOULEMARK_NVML_STUB");
    struct stat now;
    char line[640];
    FILE *file;
    if (frozen) return;
    if (!path || stat(path, &now)) { line_count = error_count = 0; seen_path[0] = 0; return; }
    if (!strcmp(path, seen_path) && now.st_ino == seen.st_ino && now.st_size == seen.st_size
        && now.st_mtim.tv_sec == seen.st_mtim.tv_sec && now.st_mtim.tv_nsec == seen.st_mtim.tv_nsec) return;
    seen = now;
    snprintf(seen_path, sizeof seen_path, "%s", path);
    line_count = error_count = 0;
    if (!(file = fopen(path, "r"))) return;
    while (line_count < LINES && fgets(line, sizeof line, file)) {
        char *space = strchr(line, ' ');
        if (!space || line[0] == '#') continue;
        line[strcspn(line, "\n")] = 0;
        *space = 0;
        error_count += !strncmp(line, "error.", 6);
        snprintf(lines[line_count].key, sizeof lines[0].key, "%.95s", line);
        snprintf(lines[line_count++].value, sizeof lines[0].value, "%.511s", space + 1);
    }
    fclose(file);
}

static const char *lookup(const char *key) {
    reread();
    for (int i = 0; i < line_count; i++) if (!strcmp(lines[i].key, key)) return lines[i].value;
    return NULL;
}

static int scripted_error(const char *what, int board) {
    char key[96];
    const char *found;
    reread();
    if (!error_count) return SUCCESS;
    snprintf(key, sizeof key, "error.%s.%d", what, board);
    found = board >= 0 ? lookup(key) : NULL;
    if (!found) { snprintf(key, sizeof key, "error.%s", what); found = lookup(key); }
    return found ? atoi(found) : SUCCESS;
}

static const char *of_board(const char *what, Device device) {
    char key[64];
    snprintf(key, sizeof key, "%s.%d", what, device->index);
    return lookup(key);
}

static Return text(const char *found, char *out, unsigned size) {
    if (!found) return NOT_SUPPORTED;
    snprintf(out, size, "%s", found);
    return SUCCESS;
}

static Return number(const char *what, Device device, unsigned long long *out) {
    const char *found = of_board(what, device);
    if (!found) return NOT_SUPPORTED;
    *out = strtoull(found, NULL, 0);
    return SUCCESS;
}

static Return whole(const char *what, Device device, unsigned *out) {
    unsigned long long value = 0;
    Return code = number(what, device, &value);
    *out = (unsigned)value;
    return code;
}

/* ---- the waveform ---- */

static Time now_ns(void) {
    struct timespec now;
    if (scripted_now >= 0) return scripted_now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (Time)now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* Joules from the origin of one round of the pieces to at_s seconds into it. */
static double within(const Wave *wave, double at_s) {
    double joules = 0;
    for (int i = 0; i < wave->pieces; i++) {
        int last = i + 1 == wave->pieces;
        double end_s = !last ? wave->at_s[i + 1] : wave->period_s > 0 ? wave->period_s : INFINITY;
        double until_s = at_s < end_s ? at_s : end_s, length_s = until_s - wave->at_s[i];
        double slope = isinf(end_s) ? 0 : (wave->to_w[i] - wave->from_w[i]) / (end_s - wave->at_s[i]);
        if (length_s <= 0 && i) break;
        joules += wave->from_w[i] * length_s + (length_s > 0 ? slope * length_s * length_s / 2 : 0);
    }
    return joules;
}

static double energy_j(const Wave *wave, Time at) {
    double at_s = (double)(at - wave->origin) * 1e-9, rounds;
    if (wave->period_s <= 0) return within(wave, at_s);
    rounds = floor(at_s / wave->period_s);
    return rounds * within(wave, wave->period_s) + within(wave, at_s - rounds * wave->period_s);
}

static Time last_update(Time at, Time update, Time phase) {
    Time since = (at - phase) % update;
    return at - (since < 0 ? since + update : since);
}

static unsigned sensed_mw(const Wave *wave, Time average) {
    Time at = last_update(now_ns(), wave->update, wave->phase);
    double watts = (energy_j(wave, at) - energy_j(wave, at - average)) / ((double)average * 1e-9);
    return (unsigned)llround(watts * 1e3);
}

static Return counted_mj(const Wave *wave, unsigned long long *out) {
    Time at, since = wave->origin - 1000 * 1000000000LL;
    if (!wave->counter_update) return NOT_SUPPORTED;
    at = last_update(now_ns(), wave->counter_update, wave->counter_phase);
    if (wave->reset >= 0 && at >= wave->reset) since = wave->reset;
    *out = (unsigned long long)((energy_j(wave, at) - energy_j(wave, since)) * 1e3);
    *out -= *out % wave->quantum_mj;
    return SUCCESS;
}

void stub_time(Time ns) { scripted_now = ns; }

void stub_wave(int board, Time origin, double period_s, int pieces, const double *at_s, const double *from_w,
               const double *to_w) {
    Wave *wave = &waves[board];
    memset(wave, 0, sizeof *wave);
    wave->pieces = pieces;
    wave->origin = origin;
    wave->period_s = period_s;
    memcpy(wave->at_s, at_s, (size_t)pieces * sizeof *at_s);
    memcpy(wave->from_w, from_w, (size_t)pieces * sizeof *from_w);
    memcpy(wave->to_w, to_w, (size_t)pieces * sizeof *to_w);
    wave->update = 100000000LL;
    wave->average = 25000000LL;
    wave->reset = -1;
    wave->quantum_mj = 1;
}

void stub_sensor(int board, Time update, Time average, Time phase) {
    waves[board].update = update;
    waves[board].average = average;
    waves[board].phase = phase;
}

/* An update of 0 is a board without a counter; a reset below 0 never comes. */
void stub_counter(int board, Time update, Time phase, unsigned long long quantum_mj, Time reset) {
    waves[board].counter_update = update;
    waves[board].counter_phase = phase;
    waves[board].quantum_mj = quantum_mj;
    waves[board].reset = reset;
}

double stub_truth_j(int board, Time from, Time to) {
    return energy_j(&waves[board], to) - energy_j(&waves[board], from);
}

/* From now on the script is taken not to change: a look then costs what it costs, without a look at the file. */
void stub_freeze(void) { reread(); frozen = 1; }

void stub_forget(void) {
    frozen = 0;
    memset(waves, 0, sizeof waves);
    scripted_now = -1;
}

/* ---- NVML ---- */

static unsigned device_count(void) {
    const char *found = lookup("devices");
    return found ? (unsigned)atoi(found) : 0;
}

#define REFUSE(board) \
    do { int code = scripted_error(__func__, board); if (code != SUCCESS) return code; } while (0)

/* Once loaded a library stays; without a script it is a machine without a driver. */
Return nvmlInitWithFlags(unsigned flags) {
    const int driver_not_loaded = 9;
    const char *path = getenv("JOULEMARK_NVML_STUB");
    (void)flags;
    if (!path || !*path) return driver_not_loaded;
    REFUSE(-1);
    return SUCCESS;
}

Return nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

Return nvmlShutdown(void) { REFUSE(-1); return SUCCESS; }

const char *nvmlErrorString(Return code) { (void)code; return "scripted error"; }

Return nvmlSystemGetDriverVersion(char *out, unsigned size) {
    REFUSE(-1);
    return text(lookup("driver"), out, size);
}

Return nvmlDeviceGetCount_v2(unsigned *count) { REFUSE(-1); *count = device_count(); return SUCCESS; }

Return nvmlDeviceGetHandleByIndex_v2(unsigned index, Device *device) {
    REFUSE((int)index);
    if (index >= device_count() || index >= BOARDS) return INVALID_ARGUMENT;
    boards[index].index = (int)index;
    *device = &boards[index];
    return SUCCESS;
}

Return nvmlDeviceGetName(Device device, char *out, unsigned size) {
    REFUSE(device->index);
    return text(of_board("name", device), out, size);
}

Return nvmlDeviceGetUUID(Device device, char *out, unsigned size) {
    REFUSE(device->index);
    return text(of_board("uuid", device), out, size);
}

Return nvmlDeviceGetPowerUsage(Device device, unsigned *milliwatts) {
    const Wave *wave = &waves[device->index];
    REFUSE(device->index);
    if (!wave->pieces) return whole("power", device, milliwatts);
    *milliwatts = sensed_mw(wave, wave->average);
    return SUCCESS;
}

static Return energy_of(Device device, unsigned long long *millijoules) {
    const Wave *wave = &waves[device->index];
    return wave->pieces ? counted_mj(wave, millijoules) : number("energy", device, millijoules);
}

#ifndef WITHOUT_ENERGY
Return nvmlDeviceGetTotalEnergyConsumption(Device device, unsigned long long *millijoules) {
    REFUSE(device->index);
    return energy_of(device, millijoules);
}
#endif

#ifndef WITHOUT_FIELDS
static Return field_of(Device device, Field *field) {
    const Wave *wave = &waves[device->index];
    const int energy = field->field == 83, average = field->field == 185, instant = field->field == 186;
    const unsigned unsigned_int = 1, unsigned_long_long = 3;
    char key[32];
    Return code;
    snprintf(key, sizeof key, "field.%u", field->field);
    if ((code = scripted_error(key, device->index))) return code;
    code = scripted_error(energy ? "nvmlDeviceGetTotalEnergyConsumption" : "nvmlDeviceGetPowerUsage", device->index);
    if (code) return code;
    field->type = energy ? unsigned_long_long : unsigned_int;
    if (energy) return energy_of(device, &field->value.ull);
    if (!average && !instant) return NOT_SUPPORTED;
    if (!wave->pieces) return whole(average ? "average" : "instant", device, &field->value.u);
    field->value.u = sensed_mw(wave, average ? 1000000000LL : wave->average);
    return SUCCESS;
}

Return nvmlDeviceGetFieldValues(Device device, int count, Field *fields) {
    REFUSE(device->index);
    for (int i = 0; i < count; i++) fields[i].code = (unsigned)field_of(device, &fields[i]);
    return SUCCESS;
}

Return nvmlDeviceGetCurrentClocksEventReasons(Device device, unsigned long long *reasons) {
    REFUSE(device->index);
    return number("throttle", device, reasons);
}
#endif

Return nvmlDeviceGetCurrentClocksThrottleReasons(Device device, unsigned long long *reasons) {
    REFUSE(device->index);
    return number("throttle", device, reasons);
}

Return nvmlDeviceGetEnforcedPowerLimit(Device device, unsigned *milliwatts) {
    REFUSE(device->index);
    return whole("limit", device, milliwatts);
}

Return nvmlDeviceGetClockInfo(Device device, unsigned kind, unsigned *megahertz) {
    const unsigned memory = 2;
    REFUSE(device->index);
    return whole(kind == memory ? "clock_memory" : "clock_sm", device, megahertz);
}

Return nvmlDeviceGetTemperature(Device device, unsigned sensor, unsigned *celsius) {
    (void)sensor;
    REFUSE(device->index);
    return whole("temperature", device, celsius);
}

Return nvmlDeviceGetUtilizationRates(Device device, Utilization *percent) {
    REFUSE(device->index);
    percent->memory = 0;
    return whole("utilisation", device, &percent->gpu);
}

Return nvmlDeviceGetMemoryInfo(Device device, Memory *memory) {
    REFUSE(device->index);
    memory->free = memory->used = 0;
    return number("memory", device, &memory->total);
}

Return nvmlDeviceGetMigMode(Device device, unsigned *current, unsigned *pending) {
    REFUSE(device->index);
    Return code = whole("mig", device, current);
    *pending = *current;
    return code;
}

#ifndef WITHOUT_FIELDS
Return nvmlDeviceGetComputeRunningProcesses_v3(Device device, unsigned *count, Process *processes) {
    char value[512], *rest;
    unsigned found = 0, room = *count;
    REFUSE(device->index);
    if (text(of_board("processes", device), value, sizeof value)) { *count = 0; return SUCCESS; }
    for (char *entry = strtok_r(value, ",", &rest); entry; entry = strtok_r(NULL, ",", &rest)) {
        char *used = strchr(entry, ':');
        if (processes && found < room) {
            processes[found].pid = (unsigned)atoi(entry);
            processes[found].used = used && used[1] != '?' ? strtoull(used + 1, NULL, 10) : ~0ULL;
            processes[found].gpu_instance = processes[found].compute_instance = ~0U;
        }
        found++;
    }
    *count = found;
    return processes && room >= found ? SUCCESS : (found ? INSUFFICIENT_SIZE : SUCCESS);
}
#endif
