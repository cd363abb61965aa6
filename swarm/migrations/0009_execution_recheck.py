from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("swarm", "0008_conflict_outcomes"),
    ]

    operations = [
        migrations.AddField(
            model_name="execution",
            name="recheck",
            field=models.BooleanField(default=True, help_text="check again where files that a story read have changed"),
        ),
    ]
