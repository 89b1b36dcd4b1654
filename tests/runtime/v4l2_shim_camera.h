/* The camera of v4l2_shim.c: what the environment makes of it, its formats, and the picture of each frame. Included once. */
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
