/* LD_PRELOAD shim: a camera at /dev/video42 that exists only inside one process.
 *
 * open() of that path yields a memfd. Buffers are mapped from it by the kernel itself and select() finds it readable,
 * so only open, close, poll and the 'V' ioctls are answered here. Pixel (y, x) of frame n holds
 * (SHIM_BASE + 257 * n + 3 * (y * width + x)) mod 2^16, little-endian; in GREY its low byte. Rows are padded with 0xEE.
 *
 * Environment: SHIM_FORMATS "Y16 ,YUYV" (offered, the first is the driver's own choice), SHIM_WIDTH, SHIM_HEIGHT,
 * SHIM_FPS, SHIM_BASE; SHIM_FRAMES (unplugged after so many), SHIM_GONE (a path: unplugged while that file exists),
 * SHIM_OPEN_ERRNO and SHIM_SET_ERRNO (what open() and VIDIOC_S_FMT answer), SHIM_MPLANE 1 (a multi-planar driver),
 * SHIM_METADATA 1 (a node that captures no video), SHIM_PADDING (bytes after each row), SHIM_AGE_MS (how old a frame is
 * when it arrives), SHIM_CLOCK 1 (timestamps of no named clock), SHIM_DAMAGED and SHIM_SHORT (the frame that is so),
 * SHIM_CHANGE (the frame from which the height is halved) with SHIM_EVENT 1 (and the driver tells), SHIM_SILENT (the
 * frame that never comes), SHIM_IGNORES 1 (VIDIOC_S_FMT keeps the driver's own choice), SHIM_MJPG (a file: each image),
 * SHIM_CORRUPTED n (frames 1, n + 1... are damaged, 2, n + 2... incomplete). Paths, in force while their file exists, as
 * SHIM_GONE: SHIM_QUIET (no frame comes), SHIM_HANG (VIDIOC_DQBUF does not come back, and then finds the camera gone),
 * SHIM_SMALL (it opens with half the height), SHIM_NOSIGNAL (its input has no signal, and frames are noise). Opened
 * again, it answers older descriptors as if it were gone.
 *
 * Passing faults: SHIM_FAIL_SET, SHIM_FAIL_ON and SHIM_FAIL_DQ "errno:count" (the first so many VIDIOC_S_FMT,
 * VIDIOC_STREAMON, VIDIOC_DQBUF answer that errno), SHIM_BROKEN n (frames before frame n are damaged).
 * SHIM_SIZES 1 (VIDIOC_S_FMT takes any size; else it keeps the driver's own), SHIM_GAP n (from frame n on two numbers
 * are missing), SHIM_UNCOUNTED 1 (every sequence number is 0), SHIM_STAMPED 1 (the first eight bytes of a frame are its
 * timestamp in Unix microseconds), SHIM_BACKWARDS n (frame n is stamped 50 ms before the one before it).
 * SHIM_INPUT 1 (an input with states), SHIM_HDMI 1 (one with a signal of the stream's size; after SHIM_CHANGE its
 * height is halved and VIDIOC_G_FMT stays), SHIM_SIGNAL_WIDTH (of that signal), SHIM_MODE and SHIM_GID (what stat()
 * says of the node), SHIM_LOG (a file: one line each for VIDIOC_S_FMT and VIDIOC_STREAMON).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DEVICE "/dev/video42"
#define MAX_FD 1024
#define MAX_BUFFERS 16

static char ours[MAX_FD];
static uint32_t format, width, height, buffers, frame_number;
static uint32_t queue[MAX_BUFFERS], queued, streaming;
static uint8_t *memory;
static int latest = -1; /* the descriptor of the last open() */
static int told;        /* the event about the change was taken */
static int64_t last_stamp;

static long number(const char *name, long otherwise) {
  const char *text = getenv(name);
  return text ? atol(text) : otherwise;
}

static int there(const char *name) { /* the file that this variable names */
  const char *path = getenv(name);
  return path && !access(path, F_OK);
}

/* The errno that the environment names for the first so many calls; 0 for the others. */
static int passing(const char *name, long *done) {
  const char *text = getenv(name), *count = text ? strchr(text, ':') : NULL;
  if (!count || *done >= atol(count + 1)) return 0;
  ++*done;
  return atoi(text);
}

static void note(const char *what, uint32_t fourcc, uint32_t columns, uint32_t rows) {
  const char *path = getenv("SHIM_LOG");
  FILE *file = path ? fopen(path, "a") : NULL;
  if (!file) return;
  fprintf(file, "%s %.4s %ux%u\n", what, (const char *)&fourcc, columns, rows);
  fclose(file);
}

static uint32_t offered(uint32_t index) {
  const char *list = getenv("SHIM_FORMATS");
  if (!list) list = "Y16 ";
  if (strlen(list) < 5 * index + 4) return 0;
  const char *f = list + 5 * index;
  return v4l2_fourcc(f[0], f[1], f[2], f[3]);
}

static uint32_t pixel_bytes(void) { return format == V4L2_PIX_FMT_GREY ? 1 : 2; }

static uint32_t row_bytes(void) { return width * pixel_bytes() + (uint32_t)number("SHIM_PADDING", 0); }

static uint32_t image_bytes(void) { return row_bytes() * height; }

static int multi(void) { return number("SHIM_MPLANE", 0) != 0; }

static int unplugged(void) { return there("SHIM_GONE") || (long)frame_number >= number("SHIM_FRAMES", 1L << 30); }

/* Frame `remainder` of every SHIM_CORRUPTED. */
static int corrupted(uint32_t remainder) {
  long every = number("SHIM_CORRUPTED", 0);
  return every && frame_number % every == remainder;
}

/* The picture got smaller: known to VIDIOC_G_FMT and in the buffers' size. */
static int changed(void) { return (long)frame_number >= number("SHIM_CHANGE", 1L << 30); }

static uint32_t slot_bytes(void) { return (image_bytes() + 4095u) & ~4095u; }

static int refuse(int code) {
  errno = code;
  return -1;
}

static int open_device(void) {
  if (number("SHIM_OPEN_ERRNO", 0)) return refuse((int)number("SHIM_OPEN_ERRNO", 0));
  if (there("SHIM_GONE")) return refuse(ENOENT);
  int fd = memfd_create("v4l2_shim", 0);
  if (fd < 0 || fd >= MAX_FD) return refuse(EMFILE);
  ours[fd] = 1;
  latest = fd;
  format = offered(0);
  width = (uint32_t)number("SHIM_WIDTH", 64);
  height = (uint32_t)number("SHIM_HEIGHT", 48) / (there("SHIM_SMALL") ? 2 : 1);
  queued = streaming = buffers = 0;
  told = 0;
  return fd;
}

static void describe(struct v4l2_format *answer) {
  uint32_t rows = changed() && !number("SHIM_HDMI", 0) ? height / 2 : height;
  if (multi()) {
    struct v4l2_pix_format_mplane *pix = &answer->fmt.pix_mp;
    pix->width = width;
    pix->height = rows;
    pix->pixelformat = format;
    pix->num_planes = 1;
    pix->plane_fmt[0].bytesperline = row_bytes();
    pix->plane_fmt[0].sizeimage = row_bytes() * rows;
  } else {
    struct v4l2_pix_format *pix = &answer->fmt.pix;
    pix->width = width;
    pix->height = rows;
    pix->pixelformat = format;
    pix->field = V4L2_FIELD_NONE;
    pix->bytesperline = row_bytes();
    pix->sizeimage = row_bytes() * rows;
    pix->colorspace = V4L2_COLORSPACE_RAW;
  }
}

static int set_format(struct v4l2_format *asked, int keep) {
  uint32_t before = format, chosen = offered(0), one;
  uint32_t wanted = multi() ? asked->fmt.pix_mp.pixelformat : asked->fmt.pix.pixelformat;
  static long failed;
  int code = passing("SHIM_FAIL_SET", &failed);
  uint32_t columns = multi() ? asked->fmt.pix_mp.width : asked->fmt.pix.width;
  uint32_t rows = multi() ? asked->fmt.pix_mp.height : asked->fmt.pix.height;
  note("S_FMT", wanted, columns, rows);
  if (code) return refuse(code);
  if (number("SHIM_SET_ERRNO", 0)) return refuse((int)number("SHIM_SET_ERRNO", 0));
  if (number("SHIM_SIZES", 0) && columns && rows) {
    width = columns;
    height = rows;
  }
  for (uint32_t i = 0; (one = offered(i)); i++)
    if (one == wanted && !number("SHIM_IGNORES", 0)) chosen = one;
  format = chosen;
  describe(asked);
  if (!keep) format = before;
  return 0;
}

static uint32_t paint(uint8_t *to) {
  const char *jpeg = getenv("SHIM_MJPG");
  if (format == V4L2_PIX_FMT_MJPEG && jpeg) {
    FILE *file = fopen(jpeg, "rb");
    size_t size = file ? fread(to, 1, image_bytes(), file) : 0;
    if (file) fclose(file);
    return (uint32_t)size;
  }
  uint32_t base = (uint32_t)number("SHIM_BASE", 4096) + 257 * frame_number;
  if (there("SHIM_NOSIGNAL")) {
    for (uint32_t i = 0; i < image_bytes(); i++) to[i] = (uint8_t)rand();
    return image_bytes();
  }
  memset(to, 0xEE, image_bytes());
  for (uint32_t y = 0; y < height; y++) {
    uint8_t *row = to + y * row_bytes();
    for (uint32_t x = 0; x < width; x++) {
      uint32_t value = base + 3 * (y * width + x);
      row[pixel_bytes() * x] = (uint8_t)value;
      if (pixel_bytes() == 2) row[2 * x + 1] = (uint8_t)(value >> 8);
    }
  }
  return image_bytes();
}

static int give_buffers(int fd, struct v4l2_requestbuffers *request) {
  if (memory) munmap(memory, (size_t)slot_bytes() * buffers);
  memory = NULL;
  queued = 0;
  buffers = request->count > MAX_BUFFERS ? MAX_BUFFERS : request->count;
  request->count = buffers;
  if (!buffers) return 0;
  if (ftruncate(fd, (off_t)slot_bytes() * buffers)) return -1;
  memory = mmap(NULL, (size_t)slot_bytes() * buffers, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) memory = NULL;
  return memory ? 0 : -1;
}

static void fill(struct v4l2_buffer *buffer, uint32_t index, uint32_t used) {
  buffer->index = index;
  buffer->memory = V4L2_MEMORY_MMAP;
  buffer->field = V4L2_FIELD_NONE;
  if (multi()) {
    buffer->length = 1;
    buffer->m.planes[0].length = image_bytes();
    buffer->m.planes[0].bytesused = used;
    buffer->m.planes[0].data_offset = 0;
    buffer->m.planes[0].m.mem_offset = index * slot_bytes();
  } else {
    buffer->length = image_bytes();
    buffer->bytesused = used;
    buffer->m.offset = index * slot_bytes();
  }
}

static int next_frame(struct v4l2_buffer *buffer) {
  if (!streaming || !queued) return refuse(EINVAL);
  if (unplugged()) return refuse(ENODEV);
  struct timespec wait = {0, 1000000000L / number("SHIM_FPS", 200)}, moment = {0, 10000000L}, now;
  if (there("SHIM_HANG")) {
    while (there("SHIM_HANG")) nanosleep(&moment, NULL);
    return refuse(ENODEV);
  }
  static long failed;
  int code = passing("SHIM_FAIL_DQ", &failed);
  if (code) return refuse(code);
  nanosleep(&wait, NULL);
  uint32_t index = queue[0];
  memmove(queue, queue + 1, sizeof(queue[0]) * --queued);
  uint32_t used = paint(memory + (size_t)index * slot_bytes());
  int smaller = changed() && !number("SHIM_HDMI", 0);
  if (smaller || corrupted(2) || (long)frame_number == number("SHIM_SHORT", -1)) used /= 2;
  fill(buffer, index, used);
  buffer->flags = V4L2_BUF_FLAG_MAPPED | V4L2_BUF_FLAG_DONE;
  if (!number("SHIM_CLOCK", 0)) buffer->flags |= V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
  int damaged = (long)frame_number < number("SHIM_BROKEN", 0) || (long)frame_number == number("SHIM_DAMAGED", -1);
  if (damaged || corrupted(1)) buffer->flags |= V4L2_BUF_FLAG_ERROR;
  buffer->sequence = frame_number + ((long)frame_number >= number("SHIM_GAP", 1L << 30) ? 2 : 0);
  if (number("SHIM_UNCOUNTED", 0)) buffer->sequence = 0;
  clock_gettime(CLOCK_MONOTONIC, &now);
  int64_t us = now.tv_sec * 1000000LL + now.tv_nsec / 1000 - 1000LL * number("SHIM_AGE_MS", 0);
  if ((long)frame_number == number("SHIM_BACKWARDS", -1)) us = last_stamp - 50000;
  last_stamp = us;
  if (number("SHIM_STAMPED", 0)) {
    struct timespec unix_now;
    clock_gettime(CLOCK_REALTIME, &unix_now);
    int64_t apart = (unix_now.tv_sec - now.tv_sec) * 1000000LL + (unix_now.tv_nsec - now.tv_nsec) / 1000;
    int64_t stamp = us + apart;
    memcpy(memory + (size_t)index * slot_bytes(), &stamp, sizeof stamp);
  }
  frame_number++;
  buffer->timestamp.tv_sec = us / 1000000;
  buffer->timestamp.tv_usec = us % 1000000;
  return 0;
}

static int timings(struct v4l2_dv_timings *found) {
  memset(found, 0, sizeof *found);
  if (!number("SHIM_HDMI", 0)) return refuse(ENOTTY);
  if (there("SHIM_NOSIGNAL")) return refuse(ENOLINK);
  found->type = V4L2_DV_BT_656_1120;
  found->bt.width = (uint32_t)number("SHIM_SIGNAL_WIDTH", number("SHIM_WIDTH", 64));
  found->bt.height = (uint32_t)number("SHIM_HEIGHT", 48) / (changed() ? 2 : 1);
  found->bt.pixelclock = 74250000;
  return 0;
}

static int describe_input(struct v4l2_input *input) {
  if (input->index || !(number("SHIM_INPUT", 0) || number("SHIM_HDMI", 0))) return refuse(EINVAL);
  memset(input, 0, sizeof *input);
  strcpy((char *)input->name, "HDMI 0");
  input->type = V4L2_INPUT_TYPE_CAMERA;
  input->status = there("SHIM_NOSIGNAL") ? V4L2_IN_ST_NO_SIGNAL : 0;
  return 0;
}

static int start_stream(void) {
  static long failed;
  int code = passing("SHIM_FAIL_ON", &failed);
  note("STREAMON", format, width, height);
  if (code) return refuse(code);
  streaming = 1;
  return 0;
}

static int answer(int fd, unsigned long request, void *argument) {
  if (fd != latest) return refuse(ENODEV);
  switch (request) {
    case VIDIOC_QUERYCAP: {
      struct v4l2_capability *cap = argument;
      memset(cap, 0, sizeof *cap);
      strcpy((char *)cap->driver, "shim");
      strcpy((char *)cap->card, "test camera");
      cap->capabilities = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING | V4L2_CAP_DEVICE_CAPS;
      cap->device_caps = multi() ? V4L2_CAP_VIDEO_CAPTURE_MPLANE : V4L2_CAP_VIDEO_CAPTURE;
      if (number("SHIM_METADATA", 0)) cap->device_caps = V4L2_CAP_META_CAPTURE;
      cap->device_caps |= V4L2_CAP_STREAMING;
      return 0;
    }
    case VIDIOC_ENUM_FMT: {
      struct v4l2_fmtdesc *description = argument;
      if (!offered(description->index)) return refuse(EINVAL);
      description->pixelformat = offered(description->index);
      strcpy((char *)description->description, "shim format");
      return 0;
    }
    case VIDIOC_G_FMT:
      describe(argument);
      return 0;
    case VIDIOC_S_FMT:
      return set_format(argument, 1);
    case VIDIOC_TRY_FMT:
      return set_format(argument, 0);
    case VIDIOC_REQBUFS:
      return give_buffers(fd, argument);
    case VIDIOC_QUERYBUF: {
      struct v4l2_buffer *buffer = argument;
      if (buffer->index >= buffers) return refuse(EINVAL);
      fill(buffer, buffer->index, 0);
      return 0;
    }
    case VIDIOC_QBUF: {
      struct v4l2_buffer *buffer = argument;
      if (buffer->index >= buffers || queued >= MAX_BUFFERS) return refuse(EINVAL);
      queue[queued++] = buffer->index;
      return 0;
    }
    case VIDIOC_DQBUF:
      return next_frame(argument);
    case VIDIOC_SUBSCRIBE_EVENT:
      return number("SHIM_EVENT", 0) ? 0 : refuse(ENOTTY);
    case VIDIOC_DQEVENT: {
      struct v4l2_event *event = argument;
      if (told || !changed()) return refuse(ENOENT);
      memset(event, 0, sizeof *event);
      event->type = V4L2_EVENT_SOURCE_CHANGE;
      told = 1;
      return 0;
    }
    case VIDIOC_G_INPUT:
      *(int *)argument = 0;
      return number("SHIM_INPUT", 0) || number("SHIM_HDMI", 0) ? 0 : refuse(ENOTTY);
    case VIDIOC_ENUMINPUT:
      return describe_input(argument);
    case VIDIOC_G_DV_TIMINGS:
    case VIDIOC_QUERY_DV_TIMINGS:
      return timings(argument);
    case VIDIOC_STREAMON:
      return start_stream();
    case VIDIOC_STREAMOFF:
      streaming = queued = 0;
      return 0;
    case VIDIOC_QUERYCTRL: case VIDIOC_G_CTRL: case VIDIOC_S_CTRL: case VIDIOC_G_PARM: case VIDIOC_S_PARM:
      return refuse(EINVAL);
    default:
      return refuse(ENOTTY);
  }
}

int ioctl(int fd, unsigned long request, ...) {
  static int (*real)(int, unsigned long, ...);
  va_list list;
  va_start(list, request);
  void *argument = va_arg(list, void *);
  va_end(list);
  if (fd >= 0 && fd < MAX_FD && ours[fd]) return answer(fd, request & 0xffffffffUL, argument);
  if (!real) real = dlsym(RTLD_NEXT, "ioctl");
  return real(fd, request, argument);
}

int close(int fd) {
  static int (*real)(int);
  if (!real) real = dlsym(RTLD_NEXT, "close");
  if (fd >= 0 && fd < MAX_FD) ours[fd] = 0;
  return real(fd);
}

/* As the kernel's v4l2_poll: every bit for a device that is gone, POLLPRI for an event. */
int poll(struct pollfd *polled, nfds_t count, int timeout) {
  static int (*real)(struct pollfd *, nfds_t, int);
  if (!real) real = dlsym(RTLD_NEXT, "poll");
  if (count != 1 || polled->fd < 0 || polled->fd >= MAX_FD || !ours[polled->fd]) return real(polled, count, timeout);
  for (; timeout > 0 && there("SHIM_QUIET") && !unplugged(); timeout -= 10) real(NULL, 0, 10);
  if (unplugged() || polled->fd != latest) {
    polled->revents = POLLERR | POLLHUP | POLLPRI;
  } else if ((long)frame_number == number("SHIM_SILENT", -1) || there("SHIM_QUIET")) {
    polled->revents = 0;
    return real(NULL, 0, timeout);
  } else {
    polled->revents = POLLIN;
    if (changed() && number("SHIM_EVENT", 0) && !told) polled->revents |= POLLPRI;
  }
  return 1;
}

/* The node itself, for programs that look who may open it. */
#define STAT(NAME, AT)                                                             \
  int NAME(const char *path, struct NAME *found) {                                 \
    if (strcmp(path, DEVICE) || !getenv("SHIM_MODE")) return AT(AT_FDCWD, path, found, 0); \
    memset(found, 0, sizeof *found);                                               \
    found->st_mode = S_IFCHR | (mode_t)strtol(getenv("SHIM_MODE"), NULL, 8);       \
    found->st_gid = (gid_t)number("SHIM_GID", 0);                                  \
    return 0;                                                                      \
  }

STAT(stat, fstatat)
STAT(stat64, fstatat64)

#define OPEN(NAME)                                                     \
  int NAME(const char *path, int flags, ...) {                         \
    static int (*real)(const char *, int, ...);                        \
    va_list list;                                                      \
    va_start(list, flags);                                             \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0; \
    va_end(list);                                                      \
    if (!strcmp(path, DEVICE)) return open_device();                   \
    if (!real) real = dlsym(RTLD_NEXT, #NAME);                         \
    return real(path, flags, mode);                                    \
  }

OPEN(open)
OPEN(open64)
