/* Devices that filter VLANs.
 *
 * With the feature "rx-vlan-filter" a device that is not promiscuous lets in
 * only frames without a tag and of VLANs that are registered.  A switch's
 * trunk is to let in all, so the feature is turned off; with a device that
 * can't do without it (virtio-net) the VLANs in use are registered one by one
 * (softmac-vids.c).  So they are with a bond of the kernel: turning its
 * feature off would leave those of its links on, and nothing would be
 * registered with them any more. */
#include <config.h>
#include "vswitchd/softmac.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>

#include "socket-util.h"
#include "util.h"

#define FEATURE "rx-vlan-filter"
#define MAX_FEATURES 1024

static int
ethtool(const char *device, void *command)
{
    struct ifreq ifr;

    memset(&ifr, 0, sizeof ifr);
    ovs_strlcpy(ifr.ifr_name, device, sizeof ifr.ifr_name);
    ifr.ifr_data = command;
    return af_inet_ioctl(SIOCETHTOOL, &ifr);
}

/* How many features the kernel knows, 0 if it doesn't tell. */
static unsigned int
count_features(const char *device)
{
    struct ethtool_sset_info *request
        = xzalloc(sizeof *request + sizeof request->data[0]);
    unsigned int n;

    request->cmd = ETHTOOL_GSSET_INFO;
    request->sset_mask = UINT64_C(1) << ETH_SS_FEATURES;
    n = (!ethtool(device, request) && request->sset_mask
         ? request->data[0] : 0);
    free(request);
    return n <= MAX_FEATURES ? n : 0;
}

/* The number of FEATURE, or -1. */
static int
find_feature(const char *device, unsigned int n)
{
    struct ethtool_gstrings *strings
        = xzalloc(sizeof *strings + n * ETH_GSTRING_LEN);
    int found = -1;

    strings->cmd = ETHTOOL_GSTRINGS;
    strings->string_set = ETH_SS_FEATURES;
    strings->len = n;
    if (!ethtool(device, strings)) {
        for (unsigned int i = 0; i < n && found < 0; i++) {
            if (!strncmp((char *) &strings->data[i * ETH_GSTRING_LEN],
                         FEATURE, ETH_GSTRING_LEN)) {
                found = i;
            }
        }
    }
    free(strings);
    return found;
}

/* Stores whether FEATURE is on in '*active' and whether that can be changed in
 * '*changeable'. */
static bool
get_feature(const char *device, unsigned int n, unsigned int feature,
            bool *active, bool *changeable)
{
    unsigned int n_blocks = DIV_ROUND_UP(n, 32);
    struct ethtool_gfeatures *request
        = xzalloc(sizeof *request + n_blocks * sizeof *request->features);

    request->cmd = ETHTOOL_GFEATURES;
    request->size = n_blocks;
    bool ok = !ethtool(device, request);
    const struct ethtool_get_features_block *block
        = &request->features[feature / 32];
    uint32_t bit = UINT32_C(1) << feature % 32;
    *active = block->active & bit;
    *changeable = block->available & ~block->never_changed & bit;
    free(request);
    return ok;
}

static void
set_feature(const char *device, unsigned int n, unsigned int feature, bool on)
{
    unsigned int n_blocks = DIV_ROUND_UP(n, 32);
    struct ethtool_sfeatures *request
        = xzalloc(sizeof *request + n_blocks * sizeof *request->features);

    request->cmd = ETHTOOL_SFEATURES;
    request->size = n_blocks;
    request->features[feature / 32].valid = UINT32_C(1) << feature % 32;
    request->features[feature / 32].requested
        = on ? UINT32_C(1) << feature % 32 : 0;
    ethtool(device, request);
    free(request);
}

static bool
look_up(const char *device, unsigned int *n, int *feature, bool *active,
        bool *changeable)
{
    *n = count_features(device);
    *feature = *n ? find_feature(device, *n) : -1;
    return *feature >= 0
           && get_feature(device, *n, *feature, active, changeable);
}

/* Has 'device' take frames of all VLANs, if it can and isn't a 'bond'.
 * Returns what came of it. */
enum vlan_filtering
vlan_filtering_stop(const char *device, bool bond)
{
    bool active, changeable;
    unsigned int n;
    int feature;

    if (!look_up(device, &n, &feature, &active, &changeable) || !active) {
        return VLAN_FILTER_NONE;
    }
    if (changeable && !bond) {
        set_feature(device, n, feature, false);
        get_feature(device, n, feature, &active, &changeable);
    }
    return active ? VLAN_FILTER_FIXED : VLAN_FILTER_OFF;
}

/* Undoes vlan_filtering_stop() that returned VLAN_FILTER_OFF. */
void
vlan_filtering_restore(const char *device)
{
    bool active, changeable;
    unsigned int n;
    int feature;

    if (look_up(device, &n, &feature, &active, &changeable)) {
        set_feature(device, n, feature, true);
    }
}
