"""Tier policy as code: tier documents linted, tested, compared, sized and priced. Pure checks over documents."""
