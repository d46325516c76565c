/* A libnvidia-ml.so.1 that answers from a text file, so that the real binding is tested without a GPU.
 *
 * The file's path is in $JOULEMARK_NVML_STUB and is read anew at every call. Its lines are "key value":
 *   devices 2             driver 580.65.06
 *   uuid.0 GPU-aaaa       name.0 NVIDIA H200       memory.0 150000000000     mig.0 0
 *   power.0 250000        energy.0 123456789       processes.0 4711:1048576,4712:99
 *   error.nvmlDeviceGetPowerUsage 15               (the code that this function returns)
 *
 * Compile with -DWITHOUT_ENERGY for a library older than the energy counter.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUCCESS 0
#define INVALID_ARGUMENT 2
#define NOT_SUPPORTED 3
#define NOT_FOUND 6
#define INSUFFICIENT_SIZE 7

typedef int Return;
typedef struct { int index; } Board;
typedef Board *Device;
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } Process;

static Board boards[16];

static int lookup(const char *key, char *value, size_t size) {
    const char *path = getenv("JOULEMARK_NVML_STUB");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[1024];
    size_t length = strlen(key);
    int found = 0;
    if (!file) return 0;
    while (!found && fgets(line, sizeof line, file)) {
        if (!strncmp(line, key, length) && line[length] == ' ') {
            line[strcspn(line, "\n")] = 0;
            snprintf(value, size, "%s", line + length + 1);
            found = 1;
        }
    }
    fclose(file);
    return found;
}

static int scripted_error(const char *function) {
    char key[128], value[64];
    snprintf(key, sizeof key, "error.%s", function);
    return lookup(key, value, sizeof value) ? atoi(value) : SUCCESS;
}

static int of_board(const char *what, Device device, char *value, size_t size) {
    char key[64];
    snprintf(key, sizeof key, "%s.%d", what, device->index);
    return lookup(key, value, size);
}

static Return text(const char *what, Device device, char *out, unsigned size) {
    return of_board(what, device, out, size) ? SUCCESS : NOT_SUPPORTED;
}

static Return number(const char *what, Device device, unsigned long long *out) {
    char value[64];
    if (!of_board(what, device, value, sizeof value)) return NOT_SUPPORTED;
    *out = strtoull(value, NULL, 10);
    return SUCCESS;
}

static unsigned device_count(void) {
    char value[64];
    return lookup("devices", value, sizeof value) ? (unsigned)atoi(value) : 0;
}

#define REFUSE_IF_SCRIPTED() \
    do { int code = scripted_error(__func__); if (code != SUCCESS) return code; } while (0)

/* Once loaded a library stays; without a script it is a machine without a driver. */
Return nvmlInitWithFlags(unsigned flags) {
    const int driver_not_loaded = 9;
    (void)flags;
    if (!getenv("JOULEMARK_NVML_STUB")) return driver_not_loaded;
    REFUSE_IF_SCRIPTED();
    return SUCCESS;
}

Return nvmlShutdown(void) { REFUSE_IF_SCRIPTED(); return SUCCESS; }

const char *nvmlErrorString(Return code) { (void)code; return "scripted error"; }

Return nvmlSystemGetDriverVersion(char *out, unsigned size) {
    REFUSE_IF_SCRIPTED();
    return lookup("driver", out, size) ? SUCCESS : NOT_SUPPORTED;
}

Return nvmlDeviceGetCount_v2(unsigned *count) { REFUSE_IF_SCRIPTED(); *count = device_count(); return SUCCESS; }

Return nvmlDeviceGetHandleByIndex_v2(unsigned index, Device *device) {
    REFUSE_IF_SCRIPTED();
    if (index >= device_count() || index >= 16) return INVALID_ARGUMENT;
    boards[index].index = (int)index;
    *device = &boards[index];
    return SUCCESS;
}

Return nvmlDeviceGetName(Device device, char *out, unsigned size) {
    REFUSE_IF_SCRIPTED();
    return text("name", device, out, size);
}

Return nvmlDeviceGetUUID(Device device, char *out, unsigned size) {
    REFUSE_IF_SCRIPTED();
    return text("uuid", device, out, size);
}

Return nvmlDeviceGetPowerUsage(Device device, unsigned *milliwatts) {
    unsigned long long value = 0;
    REFUSE_IF_SCRIPTED();
    Return code = number("power", device, &value);
    *milliwatts = (unsigned)value;
    return code;
}

#ifndef WITHOUT_ENERGY
Return nvmlDeviceGetTotalEnergyConsumption(Device device, unsigned long long *millijoules) {
    REFUSE_IF_SCRIPTED();
    return number("energy", device, millijoules);
}
#endif

Return nvmlDeviceGetMemoryInfo(Device device, Memory *memory) {
    REFUSE_IF_SCRIPTED();
    memory->free = memory->used = 0;
    return number("memory", device, &memory->total);
}

Return nvmlDeviceGetMigMode(Device device, unsigned *current, unsigned *pending) {
    unsigned long long value = 0;
    REFUSE_IF_SCRIPTED();
    Return code = number("mig", device, &value);
    *current = *pending = (unsigned)value;
    return code;
}

Return nvmlDeviceGetComputeRunningProcesses_v3(Device device, unsigned *count, Process *processes) {
    char value[512];
    unsigned found = 0, room = *count;
    REFUSE_IF_SCRIPTED();
    if (!of_board("processes", device, value, sizeof value)) { *count = 0; return SUCCESS; }
    for (char *entry = strtok(value, ","); entry; entry = strtok(NULL, ",")) {
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
